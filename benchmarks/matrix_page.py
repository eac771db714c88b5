"""What the page of a sweep of 1,000 cells costs a browser: until it is loaded, and until a filter has been drawn.

Opens the page of a made-up sweep and an empty one in turns, in the system's Chromium without a window, and prints
medians. Loading is from the start of the navigation to the second frame after the load event; filtering from the key
to the second frame after it, and beside it stand two frames of the empty page. Below each stands what of it the page's
main thread had a core, which other programs on the machine change less. Needs the extra ``browser``.
Run: ``python -m benchmarks.matrix_page [--cells N] [--rounds N]``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilevit_deploy.report.matrix.changes import compare
from mobilevit_deploy.report.matrix.html import render
from mobilevit_deploy.report.matrix.read import read_matrix
from tests.report.browser.chromium import DESK, running
from tests.report.matrix.sample import made_up, write

EMPTY = '<!DOCTYPE html><html lang="en"><title>empty</title><p>Nothing.</p></html>'
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
WAIT = f"async () => {{ const start = performance.now(); return await {FRAMES} - start; }}"
FILTER = f"""async text => {{
    const field = document.getElementById("q"), start = performance.now();
    field.value = text;
    field.dispatchEvent(new Event("input", {{ bubbles: true }}));
    return await {FRAMES} - start;
}}"""
TEXTS = ("int8", "vit", "cas_vit_xs fp16", "")


def write_page(folder: Path, cells: int) -> Path:
    """Writes the page of a made-up sweep beside an earlier one, and says what it came to."""
    write(made_up(cells, seed=1), folder)
    page, start = folder / "matrix.html", time.perf_counter()
    matrix = read_matrix(folder)
    page.write_text(render(matrix, compare(made_up(cells), matrix.sweep), page), encoding="utf-8")
    print(f"{cells} cells: {page.stat().st_size} bytes, written in {time.perf_counter() - start:.1f} s")
    return page


@dataclass
class Times:
    """Of one of the two pages, in ms: loads, frames after a key or without, and what of both the main thread took."""

    loads: list[float] = field(default_factory=list)
    load_threads: list[float] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)
    frame_threads: list[float] = field(default_factory=list)

    def measure(self, browser: Any, page: Path, texts: Sequence[str] = ()) -> None:
        """Opens a page in a new context, which has nothing of the last one, and types the texts."""
        tab = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]}).new_page()
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        tab.goto(page.as_uri())
        self.loads.append(float(tab.evaluate(FRAMES)))  # performance.now() counts from the start of the navigation
        self.load_threads.append(thread_ms(session))
        found = [float(tab.evaluate(FILTER, text)) for text in texts] or [float(tab.evaluate(WAIT))]
        self.frames += found
        self.frame_threads.append((thread_ms(session) - self.load_threads[-1]) / len(found))
        tab.context.close()


def thread_ms(session: Any) -> float:
    """Returns how long the page's main thread has had a core until now, in ms."""
    found = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
    return float(1e3 * found["TaskDuration"])


def say(what: str, found: Sequence[float], beside: Sequence[float]) -> None:
    """Prints a median, the slowest, and the ratio to the empty page."""
    middle, empty = statistics.median(found), statistics.median(beside)
    print(f"{what:7}{middle:6.0f} ms, slowest {max(found):.0f}; empty page {empty:.1f} ms, ratio {middle / empty:.1f}")


def main() -> None:
    """Alternates both pages and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running() as browser:
        page, empty = write_page(Path(name), chosen.cells), Path(name) / "empty.html"
        empty.write_text(EMPTY, encoding="utf-8")
        matrix, nothing = Times(), Times()
        for _ in range(chosen.rounds):
            nothing.measure(browser, empty)
            matrix.measure(browser, page, TEXTS)
        say("load", matrix.loads, nothing.loads)
        say("of it", matrix.load_threads, nothing.load_threads)
        say("filter", matrix.frames, nothing.frames)
        say("of it", matrix.frame_threads, nothing.frame_threads)


if __name__ == "__main__":
    main()
