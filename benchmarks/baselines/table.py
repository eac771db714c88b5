"""A page of the results, as Markdown."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean

from benchmarks.baselines.pages import Page
from benchmarks.baselines.results import Result, Row, is_wrong
from benchmarks.baselines.way import Way

BOUNDS: Mapping[str, Mapping[str, float]] = tomllib.loads(Path(__file__).with_name("bounds.toml").read_text())
BOUNDED_BY = "naive"  # the way whose time the bounds are shares of
ABOUT = (
    "Made by `python -m benchmarks.baselines`, which builds every way, compares it with PyTorch, and times all ways of "
    "a row in turns, one process each. A loss is shown as a loss."
)
TIMES = (
    "Medians in milliseconds. The 95 % interval is of what another run, minutes earlier or later, has as its median, "
    "as `mvd latency` computes it. It is wider than a ratio's, for what the machine did meanwhile happened to all ways."
)


def shown_ways(page: Page, rows: Sequence[Row]) -> list[str]:
    """Returns the ways of a page that some of its rows have."""
    return [way for way in page.ways if any(row.of(way) for row in rows)]


def markdown(page: Page, rows: Sequence[Row], ways: Mapping[str, Way], picture: str | None = None) -> str:
    """Returns the page.

    Args:
        page: what it shows.
        rows: at least one, in order; each has the page's first way, which the others are compared with.
        ways: by name.
        picture: the name of a file beside the page.
    """
    names = shown_ways(page, rows)
    base, title = names[0], ways[names[0]].title
    pictures = [f"![the same as a picture]({picture})", ""] if picture else []
    beside = [(way, other) for way, other in page.beside if {way, other} <= set(names)]
    lines = [
        *(f"# {page.title}", "", ABOUT, "", *pictures),
        f"Every cell is the latency relative to that of {title}, with its 95 % interval; below 1 is faster.",
        "",
        *_ratios(rows, ways, {ways[way].title: (way, base) for way in names[1:]}),
        *("", "## Times", "", TIMES, ""),
        *_table(["model", *(ways[way].title for way in names)], [[_name(row), *_times(row, names)] for row in rows]),
    ]
    if beside:
        columns = {f"{ways[way].title} / {ways[other].title}": (way, other) for way, other in beside}
        lines += ["", "## Beside each other", "", "The latency of one relative to that of the other.", ""]
        lines += _ratios(rows, ways, columns)
    return "\n".join([*lines, "", "## The ways", "", *_notes(rows, ways, names), "", _place(rows)]) + "\n"


def _ratios(rows: Sequence[Row], ways: Mapping[str, Way], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    """Returns a table with a column of ratios for each (way, base), and their geometric means."""
    lines = [[_name(row), *(_cell(row, ways, *pair) for pair in columns.values())] for row in rows]
    means = ["geometric mean", *(_mean(rows, ways, *pair) for pair in columns.values())]
    return _table(["model", *columns], [*lines, means])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def _name(row: Row) -> str:
    return f"`{row.case}`"


def _cell(row: Row, ways: Mapping[str, Way], way: str, base: str) -> str:
    if (result := row.of(way)) is None:
        return ""
    if result.failure:
        return "fails"
    if (ratio := row.ratio(way, base)) is None:
        return ""
    text = f"{ratio.value:.2f} ({ratio.ci95[0]:.2f} to {ratio.ci95[1]:.2f})"
    return text if right_ratio(row, ways, way, base) else f"wrong output: {text}"


def right_ratio(row: Row, ways: Mapping[str, Way], way: str, base: str) -> float | None:
    """Returns a way's latency relative to another's; None where one of them has no file, or one that is wrong."""
    ratio = row.ratio(way, base)
    wrong = any(is_wrong(result, ways[name]) for name in (way, base) if (result := row.of(name)))
    return None if ratio is None or wrong else ratio.value


def _mean(rows: Sequence[Row], ways: Mapping[str, Way], way: str, base: str) -> str:
    """Returns the geometric mean over all rows; empty where one is missing, for it is of other models then."""
    ratios = [ratio for row in rows if (ratio := right_ratio(row, ways, way, base))]
    return f"{geometric_mean(ratios):.2f}" if len(ratios) == len(rows) else ""


def _times(row: Row, names: Sequence[str]) -> list[str]:
    return [_time(row.of(way)) for way in names]


def _time(result: Result | None) -> str:
    if result is None or not result.times_ms:
        return ""
    found = result.statistics()
    return f"{found.p50_ms:.1f} ({found.ci95_ms[0]:.1f} to {found.ci95_ms[1]:.1f})"


def _notes(rows: Sequence[Row], ways: Mapping[str, Way], names: Sequence[str]) -> list[str]:
    lines = [f"- {ways[way].title}: {ways[way].about}." for way in names]
    for row in rows:
        for way in names:
            if (result := row.of(way)) is None:
                continue
            where = f"- {_name(row)}, {ways[way].title}"
            if result.failure:
                lines.append(f"{where}: {result.failure}")
            elif is_wrong(result, ways[way]):
                lines.append(f"{where}: differs from PyTorch by {result.max_rel:.0e} of the largest output")
            if names[0] == BOUNDED_BY and (text := verdict(row, way)):
                lines.append(f"{where}: {text}.")
    return lines


def verdict(row: Row, way: str) -> str:
    """Returns whether a way's bound is met; empty where there is none, as for other sizes and several threads."""
    bound, ratio = BOUNDS.get(way, {}).get(str(row.case)), row.ratio(way, BOUNDED_BY)
    if bound is None or ratio is None:
        return ""
    return f"{ratio.value:.3f}, bound {bound:.2f} {'met' if ratio.value <= bound else 'MISSED'}"


def _place(rows: Sequence[Row]) -> str:
    """Returns the machine, with the instructions that it has, and what was installed for any of the rows."""
    machine = rows[0].machine
    features = ", ".join(machine["cpu_features"] or []) or "instructions not known"
    found = {name: version for row in rows for name, version in row.versions.items() if version}
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
    return f"{machine['cpu']} ({features}), batch 1, one thread and pinned unless a row says more. {versions}."
