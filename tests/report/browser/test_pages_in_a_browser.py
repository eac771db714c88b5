"""The pages in a headless Chromium: filters, sorting, links, keyboard, access, and that nothing is loaded.

For each check there is a page with a fault that it must see.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mobilevit_deploy.report.matrix.changes import Changes, compare
from mobilevit_deploy.report.matrix.html import render as render_matrix
from mobilevit_deploy.report.matrix.read import read_matrix
from mobilevit_deploy.report.page.folder import read_folder
from mobilevit_deploy.report.page.html import render
from mobilevit_deploy.report.page.shown import Prediction, Shown
from tests.report.browser.checks import (
    VIEWS,
    Check,
    fits_its_window,
    focus,
    frame,
    has_no_faults_of_access,
    is_quiet,
    rows_of,
    shows,
    sorts,
    tab_to,
    view,
)
from tests.report.browser.chromium import DESK, PHONE, TABLET, Opened, opened, running, system_browser
from tests.report.matrix.sample import made_up, write
from tests.report.matrix.test_html import HOSTILE, HOSTILE_BEFORE, HOSTILE_SWEEP
from tests.report.page.test_html import catalog_model
from tests.report.sample import Sample

pytestmark = [pytest.mark.slow, pytest.mark.skipif(system_browser() is None, reason="there is no Chromium here")]

SWEEP, BEFORE = made_up(66, seed=2), made_up(70, seed=1)
CHANGES: Changes = compare(BEFORE, SWEEP)
WINDOWS = [(size, scheme) for size in (DESK, TABLET, PHONE) for scheme in ("light", "dark")]
WEBP = "data:image/webp;base64,UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA="


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def matrix_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep beside an earlier one."""
    folder = write(SWEEP, tmp_path_factory.mktemp("sweep"))
    page = folder / "matrix.html"
    page.write_text(render_matrix(read_matrix(folder), CHANGES, page), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def folder_page(tmp_path_factory: pytest.TempPathFactory, real_reports: Any) -> Path:
    """The page of a folder with a bit of everything: plots, failures, problems, stale measurements, a picture."""
    sample = Sample(tmp_path_factory.mktemp("artifacts"), *real_reports)
    for name, p50 in (("cas_vit_xs", 9.0), ("cloformer_xxs", 12.0), ("lightvit_tiny", 6.0)):
        catalog_model(sample, name, p50, trained=name != "lightvit_tiny")
    stem = catalog_model(
        sample, "cas_vit_s", 10.0, parity={"status": "failed", "reason": "SNR"}, warnings=["a warning"]
    )
    sample.latency(stem, {"sha256": "0" * 64}, {"stable": False, "warnings": ["the clock moved"]})
    sample.export("missing")
    (sample.folder / "missing.onnx").unlink()
    (sample.folder / "bad.onnx.json").write_text("{")
    shown = Prediction("cat.png", {f"{stem}.onnx": Shown("tabby cat 92 %", WEBP)})
    page = sample.folder / "report.html"
    page.write_text(render(read_folder(sample.folder), shown), encoding="utf-8")
    return page


def all_filters_show_what_they_say(tab: Opened) -> None:
    page, cells = tab.page, SWEEP.cells
    shows(tab, SWEEP, cells)
    page.select_option("#target", "coreml")
    shows(tab, SWEEP, [cell for cell in cells if cell.target == "coreml"])
    page.select_option("#precision", "fp16")
    shows(tab, SWEEP, [cell for cell in cells if (cell.target, cell.precision) == ("coreml", "fp16")])
    page.click("#reset")
    page.select_option("#status", "failed")
    failed = [cell for cell in cells if cell.status == "failed"]
    assert failed
    shows(tab, SWEEP, failed)
    page.click("#reset")
    page.check("#changed")
    shows(tab, SWEEP, [cell for cell in cells if cell.id in CHANGES.by_cell])
    page.uncheck("#changed")
    page.fill("#q", "CAS_vit_xs  int8")
    shows(tab, SWEEP, [cell for cell in cells if (cell.model, cell.precision) == ("cas_vit_xs", "int8")])
    page.fill("#q", "log artifact")  # what every row has among its files is no text to look for
    shows(tab, SWEEP, [])
    view(tab, "changes")
    page.fill("#q", "cloformer_s int8")
    frame(tab)
    assert [row for row in tab.texts("#changes tbody tr") if "gone" in row], "what is gone is filtered too"
    page.select_option("#target", "coreml")
    frame(tab)
    assert not [row for row in tab.texts("#changes tbody tr") if "gone" in row]
    page.select_option("#target", "")
    page.fill("#q", "none has this")
    frame(tab)
    assert page.inner_text("#shown") == f"0 of {len(cells)} cells"


def every_kind_of_column_sorts(tab: Opened) -> None:
    view(tab, "list")
    sorts(tab, "model", lambda cell: cell.model, SWEEP.cells)
    sorts(tab, "bytes", lambda cell: cell.bytes, SWEEP.cells)
    sorts(tab, "latency", lambda cell: cell.latency.p50 if cell.latency else None, SWEEP.cells)
    sorts(tab, "accuracy", lambda cell: cell.accuracy.artifact if cell.accuracy else None, SWEEP.cells)
    sorts(tab, "seconds", lambda cell: cell.seconds, SWEEP.cells)


def links_lead_to_the_files(tab: Opened) -> None:
    first, failed = SWEEP.cells[0], next(cell for cell in SWEEP.cells if cell.status == "failed")
    start = tab.page.url
    for name, selector, title in (
        ("matrix", "#matrix a.cell >> nth=0", first.id),
        ("list", "#list tbody a >> text=page >> nth=0", first.id),
        ("list", '#list tr[data-status="failed"] a >> text=log >> nth=0', failed.id),
    ):
        view(tab, name)
        tab.page.click(selector)
        assert tab.page.evaluate("location.protocol") == "file:", "and not the page of an error"
        assert title in tab.page.content()
        tab.page.goto(start)


def the_keyboard_alone_does_all(tab: Opened) -> None:
    page = tab.page
    tab_to(tab, "list")
    page.keyboard.press("Enter")
    assert page.locator("#list").is_visible()
    tab_to(tab, "q")
    page.keyboard.type("cas_vit_xs")
    tab_to(tab, "target")
    page.keyboard.type("onnx")
    tab_to(tab, "changed")
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    frame(tab)
    assert rows_of(tab) == [("cas_vit_xs", "onnx", name) for name in ("fp32", "fp16", "int8")]
    tab_to(tab, "latency")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert page.get_attribute('#list th[data-key="latency"]', "aria-sort") == "descending"
    assert "by p50 ms, descending" in page.inner_text("#shown")
    tab_to(tab, "a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cells/**")


def an_address_shows_what_its_sender_saw(tab: Opened) -> None:
    page = tab.page
    view(tab, "list")
    page.select_option("#precision", "int8")
    page.fill("#q", "vit")
    page.click('#list th[data-key="latency"] button')
    page.click('#list th[data-key="latency"] button')
    frame(tab)
    address, rows = page.url, rows_of(tab)
    assert rows
    assert address.partition("#")[2] == "q=vit&precision=int8&sort=-latency&view=list"
    page.goto("about:blank")
    page.goto(address)
    assert rows_of(tab) == rows
    page.evaluate("location.hash = '#target=none&sort=__proto__&view=constructor&status=done'")
    frame(tab)
    done = sum(cell.status == "done" for cell in SWEEP.cells)
    assert page.inner_text("#shown") == f"{done} of {len(SWEEP.cells)} cells"
    assert page.locator("#matrix").is_visible()


def headers_stay_in_sight(tab: Opened) -> None:
    for name in ("matrix", "list"):
        view(tab, name)
        tab.page.evaluate(f"document.querySelector('.scroll:has(#{name})').scrollTo(200, 400)")
        box = tab.page.locator(f".scroll:has(#{name})").bounding_box()
        head, side = (tab.page.locator(f"#{name} {part}").bounding_box() for part in ("thead", "thead th >> nth=0"))
        assert abs(head["y"] - box["y"]) <= 2
        assert abs(side["x"] - box["x"]) <= 2


MATRIX_CHECKS: list[Check] = [
    all_filters_show_what_they_say,
    every_kind_of_column_sorts,
    links_lead_to_the_files,
    the_keyboard_alone_does_all,
    an_address_shows_what_its_sender_saw,
    headers_stay_in_sight,
]


@pytest.mark.parametrize("check", MATRIX_CHECKS, ids=lambda check: check.__name__)
def test_the_matrix(check: Check, browser: Any, matrix_page: Path) -> None:
    with opened(browser, matrix_page) as tab:
        check(tab)
        is_quiet(tab)


def links_within_the_page(tab: Opened) -> None:
    tab.page.click("tbody th a >> nth=1")
    assert tab.page.url.endswith("#artifact-2")
    assert tab.page.locator("#artifact-2").count() == 1
    assert tab.page.locator("#artifact-2").bounding_box()["y"] < DESK[1]


def details_open_by_keyboard(tab: Opened) -> None:
    tab_to(tab, "summary")
    tab.page.keyboard.press("Enter")
    assert tab.page.locator("details[open]").count() == 1
    while focus(tab):
        tab.page.keyboard.press("Tab")


def all_of_it_can_be_read(tab: Opened) -> None:
    tab.page.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
    has_no_faults_of_access(tab)


FOLDER_CHECKS: list[Check] = [links_within_the_page, details_open_by_keyboard]


@pytest.mark.parametrize("check", FOLDER_CHECKS, ids=lambda check: check.__name__)
def test_the_page_of_a_folder(check: Check, browser: Any, folder_page: Path) -> None:
    with opened(browser, folder_page) as tab:
        check(tab)
        is_quiet(tab)


@pytest.mark.parametrize(("size", "scheme"), WINDOWS, ids=lambda value: str(value))
def test_everybody_can_read_the_matrix(size: tuple[int, int], scheme: str, browser: Any, matrix_page: Path) -> None:
    with opened(browser, matrix_page, size=size, scheme=scheme) as tab:
        for name in VIEWS:
            view(tab, name)
            all_of_it_can_be_read(tab)
            fits_its_window(tab)
        is_quiet(tab)


@pytest.mark.parametrize(("size", "scheme"), WINDOWS, ids=lambda value: str(value))
def test_everybody_can_read_a_folder(size: tuple[int, int], scheme: str, browser: Any, folder_page: Path) -> None:
    with opened(browser, folder_page, size=size, scheme=scheme) as tab:
        all_of_it_can_be_read(tab)
        fits_its_window(tab)
        is_quiet(tab)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=str)
def test_without_scripts_all_tables_are_there(size: tuple[int, int], browser: Any, matrix_page: Path) -> None:
    with opened(browser, matrix_page, size=size, scripts=False) as tab:
        assert len(tab.texts("#list tbody tr")) == len(SWEEP.cells) == len(tab.texts("#matrix .cell"))
        assert len(tab.texts("#changes tbody tr")) == sum(map(len, CHANGES.by_cell.values())) + len(CHANGES.gone)
        assert tab.texts("#controls") == []
        assert [title for title in tab.texts("h2") if title.lower() in VIEWS] == [name.capitalize() for name in VIEWS]
        assert tab.asked == []


Edit = Callable[[str], str]


def without_policy(text: str) -> str:
    """Takes away what else would stop a fault that is put in."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)


def replaced(old: str, new: str) -> Edit:
    """Returns what breaks a page; the place must be there, or the check of the check says nothing."""

    def edit(text: str) -> str:
        assert old in text
        return without_policy(text.replace(old, new))

    return edit


def with_more(more: str) -> Edit:
    return replaced("</main>", f"{more}</main>")


IMAGE = '<img alt="" src="https://example.org/x.png">'
FAULTS: dict[str, tuple[Check, Edit]] = {
    "an image of another host": (is_quiet, with_more(IMAGE)),
    "one that the policy stops": (is_quiet, lambda text: text.replace("</main>", f"{IMAGE}</main>")),
    "a message": (is_quiet, with_more("<script>console.warn('x')</script>")),
    "an error": (is_quiet, with_more("<script>none()</script>")),
    "a script that is not its own": (is_quiet, lambda text: text.replace("</main>", "<script>1</script></main>")),
    "a fault of contrast": (has_no_faults_of_access, replaced("--quiet: #59636e", "--quiet: #b9c3ce")),
    "a field without a name": (has_no_faults_of_access, with_more("<input>")),
    "a table that is too wide": (fits_its_window, with_more("<table><tr><td style='min-width:3000px'>x</table>")),
    "a filter by another column": (all_filters_show_what_they_say, replaced("cell[choice.id]", "cell.target")),
    "entries that are not filtered": (all_filters_show_what_they_say, replaced("...cell.others]", "]")),
    "numbers sorted as text": (every_kind_of_column_sorts, replaced("number ? a.key - b.key :", "")),
    "what lacks a value first": (every_kind_of_column_sorts, replaced("lacks(a) - lacks(b)", "lacks(b) - lacks(a)")),
    "links to elsewhere": (links_lead_to_the_files, replaced('href="./cells/', 'href="./none/')),
    "no focus to be seen": (the_keyboard_alone_does_all, replaced("outline: 2px solid", "outline: 0 solid")),
    "a sign in the place of a button": (
        the_keyboard_alone_does_all,
        replaced('document.createElement("button")', 'document.createElement("span")'),
    ),
    "a state that is not kept": (
        an_address_shows_what_its_sender_saw,
        replaced("history.replaceState(null, \"\", `#${state}`)", "0"),
    ),
    "headers that scroll away": (headers_stay_in_sight, replaced("thead { position: sticky;", "thead {")),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str, browser: Any, matrix_page: Path) -> None:
    check, edit = FAULTS[name]
    sees(check, edit, browser, matrix_page, DESK)


FOLDER_FAULTS: dict[str, tuple[Check, Edit]] = {
    "an image of another host": (is_quiet, with_more(IMAGE)),
    "links to nothing": (links_within_the_page, replaced('id="artifact-', 'id="other-')),
    "details that no key opens": (details_open_by_keyboard, replaced("summary>", "b>")),
    "a table that no key scrolls": (all_of_it_can_be_read, replaced(' tabindex="0"', "")),
}


@pytest.mark.parametrize("name", FOLDER_FAULTS)
def test_a_fault_of_a_folder_is_seen(name: str, browser: Any, folder_page: Path) -> None:
    check, edit = FOLDER_FAULTS[name]
    sees(check, edit, browser, folder_page, TABLET)


def sees(check: Check, edit: Edit, browser: Any, page: Path, size: tuple[int, int]) -> None:
    broken = page.with_name("broken.html")
    broken.write_text(edit(page.read_text(encoding="utf-8")), encoding="utf-8")
    with opened(browser, broken, size=size) as tab, pytest.raises(AssertionError):
        check(tab)


def test_what_a_record_says_does_nothing(browser: Any, tmp_path: Path) -> None:
    folder = write(HOSTILE_SWEEP, tmp_path, files=False)
    page = folder / "matrix.html"
    page.write_text(render_matrix(read_matrix(folder), compare(HOSTILE_BEFORE, HOSTILE_SWEEP), page), encoding="utf-8")
    with opened(browser, page, f"#q={quote(HOSTILE)}&target={quote(HOSTILE)}&view={quote(HOSTILE)}") as tab:
        dialogs: list[str] = []
        tab.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for name in VIEWS:
            view(tab, name)
        assert HOSTILE in tab.page.inner_text("h1")
        assert [tab.page.locator(tag).count() for tag in ("script", "img", "tbody a")] == [1, 0, 0]
        assert dialogs == []
        is_quiet(tab)
