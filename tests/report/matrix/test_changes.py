"""What counts as a change from one sweep to the next, and what does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.report.matrix.changes import Change, compare
from mobilevit_deploy.report.matrix.record import Cell, CellAccuracy, CellLatency, Status, Sweep


def cell(**changes: Any) -> Cell:
    return Cell(**{"id": "a", "model": "m", "target": "onnx", "precision": "fp32", "status": "done", **changes})


def latency(p50: float, spread: float | None = 0.1, **changes: Any) -> CellLatency:
    low, high = (None, None) if spread is None else (p50 - spread, p50 + spread)
    return CellLatency(**{"p50": p50, "low": low, "high": high, "device": "desk", "threads": 1, **changes})


def accuracy(artifact: float, images: int = 1000, metric: str = "top-1") -> CellAccuracy:
    return CellAccuracy(metric=metric, artifact=artifact, pytorch=0.8, images=images)


def found(before: Cell, after: Cell) -> list[tuple[str, str, str]]:
    changes = compare(Sweep(name="b", cells=[before]), Sweep(name="n", cells=[after])).by_cell
    return [(change.what, change.text, change.direction) for change in changes.get("a", ())]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"status": "done"}, {"status": "failed"}, ("status", "done to failed", "worse")),
        ({"status": "waiting"}, {"status": "done"}, ("status", "waiting to done", "better")),
        ({"status": "done"}, {"status": "waiting"}, ("status", "done to waiting", "")),
        ({"parity": "passed"}, {"parity": "failed"}, ("parity", "parity failed", "worse")),
        ({"parity": None}, {"parity": "failed"}, None),
        ({"bytes": 1000}, {"bytes": 1100}, ("size", "size +10.0%", "worse")),
        ({"bytes": 10**7}, {"bytes": 10**7 - 3}, ("size", "size -3 bytes", "better")),
        ({"bytes": 0}, {"bytes": 4}, ("size", "size +4 bytes", "worse")),
        ({"bytes": 1000}, {"bytes": None}, None),
        ({"accuracy": accuracy(0.80)}, {"accuracy": accuracy(0.79)}, ("accuracy", "top-1 -1 points", "worse")),
        ({"accuracy": accuracy(0.80)}, {"accuracy": accuracy(0.79, images=500)}, None),
        ({"accuracy": accuracy(0.80)}, {"accuracy": accuracy(0.79, metric="mIoU")}, None),
        ({"latency": latency(10)}, {"latency": latency(12)}, ("latency", "latency x1.20", "worse")),
        ({"latency": latency(10)}, {"latency": latency(8)}, ("latency", "latency x0.80", "better")),
        ({"latency": latency(10, 1)}, {"latency": latency(12, 1)}, None),  # they meet at 11
        ({"latency": latency(10, 1)}, {"latency": latency(12, 0.99)}, ("latency", "latency x1.20", "worse")),
        ({"latency": latency(10)}, {"latency": latency(12, None)}, None),
        ({"latency": latency(10)}, {"latency": latency(12, stable=False)}, None),
        ({"latency": latency(10)}, {"latency": latency(12, device="phone")}, None),
        ({"latency": latency(10)}, {"latency": latency(12, threads=2)}, None),
        ({"latency": latency(10)}, {"latency": None}, None),
        ({"worker": "one", "seconds": 1.0}, {"worker": "two", "seconds": 9.0}, None),
    ],
)
def test_a_change(before: dict[str, Any], after: dict[str, Any], expected: tuple[str, str, str] | None) -> None:
    assert found(cell(**before), cell(**after)) == ([expected] if expected else [])


def test_values_before_and_after() -> None:
    one, two = (Sweep(name="n", cells=[cell(bytes=size)]) for size in (4, 2))
    assert compare(one, two).by_cell == {"a": [Change("size", "size -50.0%", "better", 4, 2)]}


STATUS: st.SearchStrategy[Status] = st.sampled_from(("done", "failed", "waiting"))
CELLS = st.builds(
    cell,
    id=st.sampled_from("abcdef"),
    status=STATUS,
    bytes=st.none() | st.integers(0, 3),
    parity=st.sampled_from(("passed", "failed", None)),
    accuracy=st.none() | st.builds(accuracy, st.sampled_from((0.5, 0.6)), st.sampled_from((10, 20))),
    latency=st.none()
    | st.builds(
        latency, st.sampled_from((5.0, 6.0, 7.0)), st.sampled_from((0.1, 0.5, 1.0, None)), stable=st.booleans()
    ),
)
SWEEPS = st.lists(CELLS, max_size=6, unique_by=lambda item: item.id).map(lambda cells: Sweep(name="n", cells=cells))


@given(SWEEPS, SWEEPS)
def test_what_holds_of_all_changes(one: Sweep, two: Sweep) -> None:
    assert compare(one, one).by_cell == {}
    forth, back = compare(one, two), compare(two, one)
    before, after = {item.id: item for item in one.cells}, {item.id: item for item in two.cells}
    new = {name for name, found in forth.by_cell.items() if found[0].what == "new"}
    assert new == after.keys() - before.keys() == {item.id for item in back.gone}
    assert [item.id for item in forth.gone] == [item.id for item in one.cells if item.id not in after]
    for name in before.keys() & after.keys():
        there, again = forth.by_cell.get(name, []), back.by_cell.get(name, [])
        assert [change.what for change in there] == [change.what for change in again]
        assert [(change.before, change.after) for change in there] == [
            (change.after, change.before) for change in again
        ]
        for change in there:
            assert change.before != change.after
            if change.what == "latency":
                old, now = before[name].latency, after[name].latency
                assert old
                assert now
                assert (old.high or 0) < (now.low or 0) or (now.high or 0) < (old.low or 0)
                assert change.direction == ("worse" if now.p50 > old.p50 else "better")
    shuffled = Sweep(name="n", cells=two.cells[::-1])
    assert compare(one, shuffled).by_cell == forth.by_cell


def test_a_key_that_is_there_twice_is_its_first_cell() -> None:
    one = Sweep(name="n", cells=[cell(bytes=1), cell(bytes=2)])
    assert compare(one, Sweep(name="n", cells=[cell(bytes=1)])).by_cell == {}
