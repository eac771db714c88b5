"""The tables' common look, and how a model is named in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from mobilevit_deploy.catalog import is_reconstruction


def make_table(*columns: str, numbers: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Returns an empty table; columns of numbers are aligned to the right, and those of ``whole`` words not broken."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = column in numbers
        unbroken = number or column == "model" or column in whole  # numbers and names are for copying
        table.add_column(column, justify="right" if number else "left", no_wrap=unbroken, overflow="fold")
    return table


def with_origin(name: str) -> str:
    """Returns a model's or artifact's name, with a word where it is not its authors' code."""
    return f"{name} (a reconstruction)" if is_reconstruction(Path(name).name) else name


def shorten(names: Sequence[str], count: int = 8) -> str:
    """Returns the first names between commas, and how many more there are."""
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


def show_bytes(count: int) -> str:
    """Returns a size for people: kB below a tenth of a MB."""
    return f"{count / 2**20:.1f} MB" if count >= 2**20 / 10 else f"{count / 2**10:.1f} kB"
