"""Which cells may be compared in one plot, and which of them no other one beats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mobilevit_deploy.report.matrix.record import Cell
from mobilevit_deploy.report.page.frontier import unbeaten
from mobilevit_deploy.system.environment import count_threads

Cost = Literal["latency", "size"]
MEGABYTE = 2**20


@dataclass(frozen=True)
class Point:
    """One cell of a plot.

    Attributes:
        place: of the cell in the sweep, from 0.
        cell: what is drawn.
        cost: its median latency in ms, or its size in MB of 2^20 bytes.
        best: whether no other is both cheaper and more accurate.
    """

    place: int
    cell: Cell
    cost: float
    best: bool

    @property
    def percent(self) -> float:
        """Returns its accuracy in percent."""
        return 100 * self.cell.accuracy.artifact if self.cell.accuracy else 0.0


@dataclass(frozen=True)
class Front:
    """Cells under the same conditions.

    Attributes:
        cost: what their accuracy is drawn against.
        conditions: what they have in common.
        metric: of the accuracy.
        points: the cheapest first.
    """

    cost: Cost
    conditions: str
    metric: str
    points: Sequence[Point]

    @property
    def best(self) -> Sequence[Point]:
        """Returns those that no other one beats."""
        return [point for point in self.points if point.best]


def fronts(cells: Sequence[Cell]) -> list[Front]:
    """Returns the plots: by device, threads, metric and images for latencies, by metric and images for sizes."""
    groups: dict[tuple[Cost, str, str], list[tuple[int, Cell, float]]] = {}
    for place, cell in enumerate(cells):
        for cost, conditions, value in _costs(cell):
            metric = cell.accuracy.metric if cell.accuracy else ""
            groups.setdefault((cost, conditions, metric), []).append((place, cell, value))
    return [Front(*key, _points(items)) for key, items in groups.items()]


def _costs(cell: Cell) -> Iterator[tuple[Cost, str, float]]:
    """Yields what a cell costs and under which conditions, where it is done and its accuracy is known."""
    if cell.status != "done" or cell.accuracy is None:
        return
    images = f"{cell.accuracy.images} images"
    if cell.latency:
        threads = "" if cell.latency.threads is None else f", {count_threads(cell.latency.threads)}"
        yield "latency", f"{cell.latency.device}{threads}, {images}", cell.latency.p50
    if cell.bytes:
        yield "size", images, cell.bytes / MEGABYTE


def _points(items: Sequence[tuple[int, Cell, float]]) -> list[Point]:
    best = unbeaten([(cost, cell.accuracy.artifact if cell.accuracy else 0.0) for _, cell, cost in items])
    points = [Point(*item, best=number in best) for number, item in enumerate(items)]
    return sorted(points, key=lambda point: (point.cost, -point.percent, point.place))
