"""Which cells are in one plot, and which of them no other one beats."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.report.matrix.pareto import fronts
from mobilevit_deploy.report.matrix.record import Cell
from mobilevit_deploy.report.page.frontier import unbeaten
from mobilevit_deploy.report.page.plot import NARROW, Mark, Picture, pareto_svg
from tests.report.matrix.sample import made_up
from tests.report.matrix.test_changes import accuracy, cell, latency

POINTS = st.lists(st.tuples(st.integers(1, 6).map(float), st.integers(0, 6).map(float)), max_size=12)


@given(POINTS)
def test_the_frontier_is_what_its_definition_says(points: list[tuple[float, float]]) -> None:
    best = unbeaten(points)
    for place, (cost, worth) in enumerate(points):
        beaten = any(
            other[0] <= cost and other[1] >= worth and (other != (cost, worth) or number < place)
            for number, other in enumerate(points)
            if number != place
        )
        assert (place in best) is not beaten
    steps = sorted(points[place] for place in best)
    assert all(left[0] < right[0] and left[1] < right[1] for left, right in pairwise(steps))


def test_cells_under_other_conditions_are_in_another_plot() -> None:
    cells: list[Cell] = [
        cell(id="a", bytes=2**20, accuracy=accuracy(0.7), latency=latency(5)),
        cell(id="b", bytes=2**21, accuracy=accuracy(0.8), latency=latency(9)),
        cell(id="slower", bytes=2**22, accuracy=accuracy(0.75), latency=latency(10)),
        cell(id="threads", accuracy=accuracy(0.7), latency=latency(3, threads=2)),
        cell(id="phone", accuracy=accuracy(0.7), latency=latency(3, device="phone")),
        cell(id="images", accuracy=accuracy(0.9, images=10), latency=latency(1)),
        cell(id="metric", accuracy=accuracy(0.9, metric="mIoU"), latency=latency(1)),
        cell(id="failed", status="failed", bytes=1, accuracy=accuracy(0.99), latency=latency(1)),
        cell(id="no accuracy", bytes=1, latency=latency(1)),
    ]
    found = {
        (front.cost, front.conditions, front.metric): [(point.cell.id, point.best) for point in front.points]
        for front in fronts(cells)
    }
    assert found == {
        ("latency", "desk, 1 thread, 1000 images", "top-1"): [("a", True), ("b", True), ("slower", False)],
        ("size", "1000 images", "top-1"): [("a", True), ("b", True), ("slower", False)],
        ("latency", "desk, 2 threads, 1000 images", "top-1"): [("threads", True)],
        ("latency", "phone, 1 thread, 1000 images", "top-1"): [("phone", True)],
        ("latency", "desk, 1 thread, 10 images", "top-1"): [("images", True)],
        ("latency", "desk, 1 thread, 1000 images", "mIoU"): [("metric", True)],
    }


def test_costs_far_apart_are_on_a_scale_by_powers() -> None:
    near, far = (
        pareto_svg(Picture([Mark(1, 50, ("a",)), Mark(cost, 60)], "ms", "%"), NARROW, "p") for cost in (19.0, 210.0)
    )
    assert "<style" not in near, "its rules would be those of the whole page"
    ticks = {svg: set(re.findall(r"> *([\d.]+)</text>", svg)) for svg in (near, far)}
    assert {"5", "10", "20"} <= ticks[far]
    assert {"100", "200"} <= ticks[far]
    assert "0" in ticks[near]
    assert "0" not in ticks[far]


def test_every_cell_that_can_be_is_in_two_plots() -> None:
    cells = made_up(130).cells
    done = sum(item.status == "done" for item in cells)
    found = fronts(cells)
    for cost in ("latency", "size"):
        assert sum(len(front.points) for front in found if front.cost == cost) == done
    assert all(front.best for front in found)
