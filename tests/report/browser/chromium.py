"""The system's Chromium without a window, for pages on the disk: the network is refused, and what is asked of it noted.

Playwright drives it, and downloads none of its own browsers. Both packages are of the extra ``browser``.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "google-chrome", "chromium-browser")
DESK, TABLET, PHONE = (1280, 800), (768, 1024), (360, 740)
LONGEST_WAIT = 20_000  # ms, on a machine that is busy with something else


def system_browser() -> str | None:
    """Returns the program, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def running() -> Iterator[Any]:
    """Starts the browser, and ends it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=system_browser())
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page in a tab of its own.

    Attributes:
        page: as Playwright has it.
        asked: addresses that the page wanted from the network, and did not get.
        said: messages of the console, and errors that nothing caught.
    """

    page: Any
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        """Returns the texts of the elements that can be seen."""
        found: list[str] = self.page.locator(f"{selector}:visible").all_inner_texts()
        return [text.strip() for text in found]


@contextmanager
def opened(
    browser: Any,
    path: Path,
    fragment: str = "",
    size: tuple[int, int] = DESK,
    scheme: str = "light",
    scripts: bool = True,
    scale: float = 1,
) -> Iterator[Opened]:
    """Opens a page.

    Args:
        browser: from ``running``.
        path: of the page.
        fragment: what stands behind its address, from the ``#`` on.
        size: width and height of the window, in pixels of the style sheet.
        scheme: light or dark.
        scripts: whether they run.
        scale: pixels of the screen for one of these.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        java_script_enabled=scripts,
        device_scale_factor=scale,
    )
    context.set_default_timeout(LONGEST_WAIT)
    found = Opened(context.new_page())

    def answer(route: Any) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            found.asked.append(route.request.url)
            route.abort()

    context.route("**/*", answer)
    found.page.on("console", lambda message: found.said.append(message.text))
    found.page.on("pageerror", lambda error: found.said.append(str(error)))
    found.page.goto(path.resolve().as_uri() + fragment)
    yield found
    context.close()
