"""What changed from one sweep to the next. A difference that the measurement does not settle is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mobilevit_deploy.report.matrix.read import by_id
from mobilevit_deploy.report.matrix.record import Cell, Sweep

What = Literal["new", "status", "parity", "size", "accuracy", "latency"]
Direction = Literal["better", "worse", ""]


@dataclass(frozen=True)
class Change:
    """One difference of one cell.

    Attributes:
        what: that differs.
        text: the difference, for people.
        direction: whether it is one to the better; empty where that depends.
        before, after: status or parity; size in bytes, accuracy in [0, 1], median latency in ms; None for a new cell.
    """

    what: What
    text: str
    direction: Direction = ""
    before: str | float | None = None
    after: str | float | None = None


@dataclass(frozen=True)
class Changes:
    """All differences.

    Attributes:
        baseline: the earlier sweep.
        by_cell: of each cell that differs, by its key.
        gone: cells that only the earlier sweep has.
    """

    baseline: Sweep
    by_cell: Mapping[str, Sequence[Change]]
    gone: Sequence[Cell]


def compare(baseline: Sweep, sweep: Sweep) -> Changes:
    """Returns what differs from an earlier sweep; cells are the same by their ``id``."""
    before, now = by_id(baseline), by_id(sweep)
    found = {name: _changes(before.get(name), cell) for name, cell in now.items()}
    gone = [cell for name, cell in before.items() if name not in now]
    return Changes(baseline, {name: changes for name, changes in found.items() if changes}, gone[::-1])


def _changes(before: Cell | None, after: Cell) -> list[Change]:
    if before is None:
        return [Change("new", "new")]
    found = (_status(before, after), _parity(before, after), _size(before, after), _accuracy(before, after))
    return [change for change in (*found, _latency(before, after)) if change]


def _status(before: Cell, after: Cell) -> Change | None:
    if before.status == after.status:
        return None
    direction: Direction = "better" if after.status == "done" else "worse" if after.status == "failed" else ""
    return Change("status", f"{before.status} to {after.status}", direction, before.status, after.status)


def _parity(before: Cell, after: Cell) -> Change | None:
    if before.parity is None or after.parity is None or before.parity == after.parity:
        return None
    direction: Direction = "better" if after.parity == "passed" else "worse"
    return Change("parity", f"parity {after.parity}", direction, before.parity, after.parity)


def _size(before: Cell, after: Cell) -> Change | None:
    if before.bytes is None or after.bytes is None or before.bytes == after.bytes:
        return None
    difference = after.bytes - before.bytes
    share = difference / before.bytes if before.bytes else 0
    amount = f"{share:+.1%}" if abs(share) >= 0.001 else f"{difference:+d} bytes"
    return Change("size", f"size {amount}", "worse" if difference > 0 else "better", before.bytes, after.bytes)


def _accuracy(before: Cell, after: Cell) -> Change | None:
    """Compares what was counted on as many images: the same file always has the same."""
    old, new = before.accuracy, after.accuracy
    if old is None or new is None or (old.metric, old.images) != (new.metric, new.images):
        return None
    points = 100 * (new.artifact - old.artifact)
    if points == 0:
        return None
    text = f"{new.metric} {points:+.3g} points"
    return Change("accuracy", text, "better" if points > 0 else "worse", old.artifact, new.artifact)


def _latency(before: Cell, after: Cell) -> Change | None:
    """Compares stable medians on one device and as many threads, whose intervals are known and do not meet."""
    old, new = before.latency, after.latency
    if old is None or new is None or not (old.stable and new.stable):
        return None
    if (old.device, old.threads) != (new.device, new.threads):
        return None
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return None
    if old.low <= new.high and new.low <= old.high:
        return None
    ratio = new.p50 / old.p50
    text = f"latency x{ratio:.2f}"
    return Change("latency", text, "worse" if new.p50 > old.p50 else "better", old.p50, new.p50)
