"""A sweep's result for people, for pull requests and for CI servers."""

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.checks import summary as of_checks
from mobilevit_deploy.checks.run import Checked
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.report.formats import escape, markdown_row
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.matrix.changes import compare
from mobilevit_deploy.report.matrix.record import Cell, Sweep
from mobilevit_deploy.sweep.document import count, kind_of

STYLES = {"done": "green", "missed": "bold red", "error": "bold red", "waiting": "yellow"}
MARKS = {"done": "✅", "missed": "❌", "error": "💥", "waiting": "⏳"}
MOST_ROWS = 200  # of a comment or a terminal; sweep.json has all


def summary(sweep: Sweep, before: Sweep | None = None) -> RenderableType:
    """Returns a table with a line per cell, why cells failed, and what changed."""
    table = ResultTable("cell", "status", "bytes", "SNR, dB", "accuracy", "p50, ms")
    reasons = []
    for cell in sweep.cells[:MOST_ROWS]:
        kind = kind_of(cell)
        table.add_row(cell.id, Text(kind, style=STYLES[kind]), *_figures(cell))
        if cell.reason:
            reasons.append(Text(f"{cell.id}: {_why(cell)}", style=STYLES[kind]))
    if len(sweep.cells) > MOST_ROWS:
        reasons.append(Text(f"and {len(sweep.cells) - MOST_ROWS} more cells, in sweep.json"))
    changed = [Text(f"{name}: {told}") for name, told in _changed(before, sweep)]
    return Group(table, *reasons, *changed)


def markdown(sweep: Sweep, before: Sweep | None = None) -> str:
    """Returns the cells that are not done, and what changed since an earlier sweep."""
    numbers = ", ".join(f"{number} {kind}" for kind, number in count(sweep).items() if number)
    lines = [f"### mvd sweep {escape(sweep.name)}: {numbers}", ""]
    wrong = [cell for cell in sweep.cells if kind_of(cell) != "done"]
    if wrong:
        rows = [markdown_row(cell.id, MARKS[kind_of(cell)], _why(cell)) for cell in wrong[:MOST_ROWS]]
        lines += ["| cell | | reason |", "|---|---|---|", *rows, ""]
    changed = _changed(before, sweep)
    if changed:
        lines += [f"Changed since {escape(before.made or 'then') if before else ''}:", ""]
        lines += [f"- {escape(name)}: {escape(told)}" for name, told in changed[:MOST_ROWS]]
    elif before:
        lines += ["Nothing changed."]
    hidden = max(0, len(wrong) - MOST_ROWS) + max(0, len(changed) - MOST_ROWS)
    if hidden:
        lines += ["", f"and {hidden} more"]
    return "\n".join(lines).rstrip() + "\n"


def junit(sweep: Sweep) -> str:
    """Returns JUnit XML: a suite per cell, a case per gate."""
    return of_checks.junit([_checked(cell) for cell in sweep.cells], "mvd sweep")


def _checked(cell: Cell) -> Checked:
    verdicts = tuple(Verdict(item.gate, item.status, item.found, item.limit, item.reason) for item in cell.gates)
    error = {"error": _why(cell), "waiting": "it was not made"}.get(kind_of(cell), "")
    return Checked(cell.id, verdicts, error)


def _changed(before: Sweep | None, sweep: Sweep) -> list[tuple[str, str]]:
    """Returns each cell that is other than in an earlier sweep, and how, as the page of both says it."""
    if before is None:
        return []
    found = compare(before, sweep)
    told = [(cell, "; ".join(change.text for change in found.by_cell[cell])) for cell in found.by_cell]
    return told + [(cell.id, "gone") for cell in found.gone]


def _why(cell: Cell) -> str:
    log = f"log: {cell.log}" if cell.log and kind_of(cell) == "error" else ""
    return "; ".join(filter(None, [cell.reason, cell.hint, log]))


def _figures(cell: Cell) -> tuple[str, str, str, str]:
    return (
        f"{cell.bytes:,}" if cell.bytes else "",
        f"{cell.snr_db:.0f}" if cell.snr_db is not None else "",
        f"{cell.accuracy.artifact:.2%}" if cell.accuracy else "",
        f"{cell.latency.p50:.2f}" if cell.latency else "",
    )
