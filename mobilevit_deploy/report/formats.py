"""A result as CSV or as Markdown: the cells that its tables have on a terminal, for a sheet or a pull request."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from mobilevit_deploy.errors import printable
from mobilevit_deploy.report.layout import Facts, Paragraph, ResultTable, parts

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def as_csv(result: RenderableType) -> str:
    """Returns the tables alone, with what each is of in columns of its own; an empty line stands between two kinds."""
    tables = [item for item in parts(result) if isinstance(item, ResultTable | Facts)]
    kinds = groupby(tables, lambda table: (tuple(table.of), tuple(table.columns)))
    return "\n".join(_csv([*titles, *columns], alike) for (titles, columns), alike in kinds)


def as_markdown(result: RenderableType) -> str:
    """Returns tables and lines, in order."""
    return "\n\n".join(filter(None, (text.strip() for item in parts(result) for text in _markdown(item)))) + "\n"


FORMATS: Mapping[str, Callable[[RenderableType], str]] = {"csv": as_csv, "markdown": as_markdown}


def markdown_row(*cells: str) -> str:
    """Returns cells as a line of a table; what Markdown or HTML would read as its own, in a name, is escaped."""
    return f"| {' | '.join(map(escape, cells))} |"


def escape(text: str) -> str:
    """Returns text on one line, with a backslash before each of Markdown's marks."""
    flat = " ".join(text.split())
    for mark in "\\|<>[]*_`":
        flat = flat.replace(mark, f"\\{mark}")
    return flat


def _csv(columns: Sequence[str], tables: Iterable[ResultTable | Facts]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if any(columns):
        writer.writerow(columns)
    for table in tables:
        writer.writerows([*map(printable, table.of.values()), *_cells(row)] for row in table.rows)
    return file.getvalue()


def _markdown(item: RenderableType) -> Iterator[str]:
    if isinstance(item, Paragraph):
        yield "\n".join(map(escape, item.text.plain.split("\n")))
    elif isinstance(item, ResultTable | Facts) and item.rows:
        rule = f"|{'|'.join('---:' if column in item.numbers else '---' for column in item.columns)}|"
        yield "\n".join([markdown_row(*item.columns), rule, *(markdown_row(*_cells(row)) for row in item.rows)])


def _cells(row: Sequence[Text]) -> list[str]:
    return [printable(", ".join(cell.plain.split("\n"))) for cell in row]
