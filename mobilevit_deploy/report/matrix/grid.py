"""The matrix: models and checkpoints down, targets and precisions across, and in each place the cells of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilevit_deploy.report.matrix.columns import Entry


@dataclass(frozen=True)
class Row:
    """A model, with its checkpoint and input size where the sweep has several; its places are as many as columns."""

    model: str
    more: str
    places: Sequence[Sequence[Entry]]


@dataclass(frozen=True)
class Grid:
    """The matrix.

    Attributes:
        targets: each with its precisions; together these are the columns.
        rows: in the sweep's order.
    """

    targets: Sequence[tuple[str, Sequence[str]]]
    rows: Sequence[Row]


def arrange(entries: Sequence[Entry]) -> Grid:
    """Returns the matrix of a sweep; targets and precisions stand in the order in which the sweep has them."""
    precisions: dict[str, dict[str, None]] = {}
    rows: dict[tuple[str, str], dict[tuple[str, str], list[Entry]]] = {}
    several_sizes = len({entry.cell.size for entry in entries}) > 1
    for entry in entries:
        cell = entry.cell
        precisions.setdefault(cell.target, {})[cell.precision] = None
        more = ", ".join(part for part in (cell.checkpoint, cell.size if several_sizes else None) if part)
        rows.setdefault((cell.model, more), {}).setdefault((cell.target, cell.precision), []).append(entry)
    targets = [(target, list(found)) for target, found in precisions.items()]
    places = [(target, precision) for target, found in targets for precision in found]
    return Grid(
        targets,
        [Row(*name, [found.get(place, []) for place in places]) for name, found in rows.items()],
    )
