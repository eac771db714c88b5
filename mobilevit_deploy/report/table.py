"""The tables' common look, and how a model is named in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mobilevit_deploy.catalog.catalog import is_reconstruction

if TYPE_CHECKING:
    from mobilevit_deploy.export.records import Weights
    from mobilevit_deploy.loading.weights_origin import WeightsOrigin

WIDEST = 10_000  # columns; wider than any table


def make_table(*columns: str, numbers: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Returns an empty table; columns of numbers are aligned to the right, and those of ``whole`` words not broken."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = column in numbers
        unbroken = number or column == "model" or column in whole  # numbers and names are for copying
        table.add_column(column, justify="right" if number else "left", no_wrap=unbroken, overflow="fold")
    return table


class NamedRows:
    """A table whose first column is a name; where it is wider than the terminal, a name and a paragraph for each row.

    A file's name that is broken across lines cannot be copied, and one that is cut off cannot be told from the next.
    """

    def __init__(self, *columns: str, numbers: Sequence[str] = ()) -> None:
        self._columns, self._numbers = columns, numbers
        self._rows: list[tuple[str | Text, ...]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Adds a row, with a cell for each column."""
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = make_table(*self._columns, numbers=self._numbers, whole=self._columns)
        for cells in self._rows:
            table.add_row(*cells)
        if Measurement.get(console, options.update(max_width=WIDEST), table).maximum <= options.max_width:
            yield table
            return
        yield Text(self._columns[0], style="underline")
        for row in self._rows:
            yield Text.assemble(row[0], style="bold")
            known = [(column, cell) for column, cell in zip(self._columns[1:], row[1:], strict=True) if str(cell)]
            parts = [Text.assemble(f"{column}: ", cell) for column, cell in known]
            yield Padding(Text("; ").join(parts), (0, 0, 0, 2))
        yield Text()


def with_origin(name: str) -> str:
    """Returns a model's or artifact's name, with a word where it is not its authors' code."""
    return f"{name} (a reconstruction)" if is_reconstruction(Path(name).name) else name


def shorten(names: Sequence[str], count: int = 8) -> str:
    """Returns the first names between commas, and how many more there are."""
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


def checkpoint_rows(weights: WeightsOrigin | Weights) -> list[tuple[str, str]]:
    """Returns what of a checkpoint was not taken, and what was done to its names, each with a word for it."""
    rows = {"not loaded": weights.not_loaded, "not read": weights.not_read, "names": weights.notes}
    return [(what, shorten(found)) for what, found in rows.items() if found]


def milliseconds(value: float) -> str:
    """Returns a time for people: hundredths, and below a tenth of a millisecond three digits that count."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3g}"


def show_bytes(count: int) -> str:
    """Returns a size for people: kB below a tenth of a MB."""
    return f"{count / 2**20:.1f} MB" if count >= 2**20 / 10 else f"{count / 2**10:.1f} kB"


def precision_name(precision: str) -> str:
    """Returns what people call a precision."""
    return "half precision" if precision == "fp16" else precision
