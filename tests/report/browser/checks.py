"""What must hold of a page in a browser; each check raises AssertionError where it does not."""

from collections.abc import Callable, Sequence
from typing import Any

from mobilevit_deploy.report.matrix.record import Cell, Sweep
from tests.report.browser.chromium import Opened

Check = Callable[[Opened], None]
VIEWS = ("matrix", "list", "plots", "changes")


def is_quiet(tab: Opened) -> None:
    """Nothing was asked of the network, and the console is empty."""
    assert tab.asked == []
    assert tab.said == []


def has_no_faults_of_access(tab: Opened) -> None:
    """Axe's rules hold of all that can be seen."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab.page).response["violations"]
    assert [(fault["id"], [node["html"][:200] for node in fault["nodes"][:3]]) for fault in found] == []


def fits_its_window(tab: Opened) -> None:
    """The page is not wider than the window; what is wider scrolls in its own place."""
    assert tab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def rows_of(tab: Opened) -> list[tuple[str, str, str]]:
    """Returns model, target and precision of the rows of the list that can be seen."""
    found: list[list[str]] = tab.page.eval_on_selector_all(
        "#list tbody tr",
        "rows => rows.filter(row => row.checkVisibility())"
        ".map(row => [row.cells[0].textContent, row.dataset.target, row.dataset.precision])",
    )
    return [(model, target, precision) for model, target, precision in found]


def names(cells: Sequence[Cell]) -> list[tuple[str, str, str]]:
    return [(cell.model, cell.target, cell.precision) for cell in cells]


def shows(tab: Opened, sweep: Sweep, wanted: Sequence[Cell]) -> None:
    """Both views show these cells and no others, and the page says how many."""
    frame(tab)
    assert tab.page.inner_text("#shown").startswith(f"{len(wanted)} of {len(sweep.cells)} cells")
    view(tab, "matrix")
    assert tab.page.locator("#matrix .cell:visible").count() == len(wanted)
    columns = {(cell.target, cell.precision) for cell in wanted}
    assert set(tab.texts("#matrix th[scope=colgroup]")) == {target for target, _ in columns}
    assert len(tab.texts("#matrix thead tr:last-child th")) == len(columns)
    view(tab, "list")
    assert rows_of(tab) == names(wanted)


def frame(tab: Opened) -> None:
    """Waits until the page has drawn what was typed."""
    tab.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def view(tab: Opened, name: str) -> None:
    tab.page.click(f'#views [data-show="{name}"]')
    assert tab.page.locator("[data-view]:visible").count() == 1
    assert tab.page.locator(f'[data-view="{name}"]').is_visible()


def sorts(tab: Opened, key: str, value: Callable[[Cell], Any], cells: Sequence[Cell]) -> None:
    """A column's button sorts by it, and again the other way; cells without a value are last."""
    header = tab.page.locator(f'#list th[data-key="{key}"]')
    lacking = [cell for cell in cells if value(cell) is None]
    known = [cell for cell in cells if value(cell) is not None]
    for direction in ("ascending", "descending"):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == direction
        assert tab.page.locator("#list [aria-sort]").count() == 1
        known.sort(key=value, reverse=direction == "descending")
        assert rows_of(tab) == names([*known, *lacking])


def focus(tab: Opened) -> str:
    """Returns what has the focus, which must be seen; empty for the page itself."""
    found: str = tab.page.evaluate(
        """() => {
            const e = document.activeElement, style = getComputedStyle(e);
            if (e === document.body) return "";
            if (!e.checkVisibility()) return "hidden";
            if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) return "no outline";
            return e.id || e.dataset.show || e.closest("th")?.dataset.key || e.tagName.toLowerCase();
        }"""
    )
    assert found not in ("hidden", "no outline")
    return found


def tab_to(tab: Opened, name: str, most: int = 60) -> None:
    """Presses Tab until something has the focus."""
    for _ in range(most):
        tab.page.keyboard.press("Tab")
        if focus(tab) == name:
            return
    raise AssertionError(f"Tab does not reach {name}")
