"""What differs between two sweeps, cell by cell."""

from collections.abc import Iterator

from mobilevit_deploy.report.matrix.record import Cell, Sweep
from mobilevit_deploy.sweep.document import kind_of


def changes(before: Sweep, after: Sweep) -> Iterator[tuple[str, str]]:
    """Yields the id of each cell that is other than in an earlier sweep, and how, in words."""
    known = {cell.id: cell for cell in before.cells}
    for cell in after.cells:
        earlier = known.pop(cell.id, None)
        if earlier is None:
            yield cell.id, "new"
        elif told := "; ".join(_told(earlier, cell)):
            yield cell.id, told
    for name in known:
        yield name, "gone"


def _told(before: Cell, after: Cell) -> Iterator[str]:
    if (was := kind_of(before)) != (now := kind_of(after)):
        yield f"was {was}, is {now}"
    if before.bytes and after.bytes and before.bytes != after.bytes:
        yield f"{after.bytes - before.bytes:+,} bytes"
    if before.accuracy and after.accuracy and before.accuracy.artifact != after.accuracy.artifact:
        yield f"{after.accuracy.metric} {after.accuracy.artifact - before.accuracy.artifact:+.2%}"
    if before.latency and after.latency and _apart(before, after):
        yield f"p50 {after.latency.p50 / before.latency.p50 - 1:+.0%}"
    if before.sha256 and after.sha256 and before.sha256 != after.sha256 and before.bytes == after.bytes:
        yield "another file of the same size"


def _apart(before: Cell, after: Cell) -> bool:
    """Tells whether two latencies on one device differ by more than their intervals."""
    first, second = before.latency, after.latency
    assert first is not None  # the caller has looked
    assert second is not None
    if (first.device, first.threads) != (second.device, second.threads):
        return False
    return (second.low or second.p50) > (first.high or first.p50) or (second.high or second.p50) < (
        first.low or first.p50
    )
