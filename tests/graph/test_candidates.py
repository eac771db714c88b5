"""Candidates of a detector beside a plain choice of them; each mistake in the form of the boxes is noticed."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph import candidates as module
from mobilevit_deploy.graph.candidates import CONFIDENCE, COORDINATES, append_candidates
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import Graph

HEIGHT, WIDTH = 32, 64  # powers of two, so that shares of them are exact
SIZES = (7, 4)


class Given(nn.Module):
    """Returns boxes and scores that stand in its input, (1, 4 + classes, 1, N)."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        rows = x[:, :, 0].transpose(1, 2)
        return {"boxes": rows[..., :4], "scores": rows[..., 4:]}


def draw(seed: int, classes: int) -> Tensor:
    """Returns boxes in pixels and scores, no two of them equal, in the form of an image; one box has no height."""
    generator = np.random.default_rng(seed)
    count = sum(SIZES)
    corners = generator.integers(0, 30, (count, 2))
    boxes = np.concatenate((corners, corners + generator.integers(1, 20, (count, 2))), axis=1)
    boxes[2, 3] = boxes[2, 1]
    scores = (generator.permutation(count * classes) + 1).reshape(count, classes) / 64
    return torch.from_numpy(np.concatenate((boxes, scores), axis=1).T[None, :, None].copy()).float()


def plain(given: Tensor, k: int, columns: int, *, per_class: bool = False) -> Counter[tuple[float, ...]]:
    """Returns the rows that should come out, and how often each."""
    rows = given[0, :, 0].T.tolist()
    found: Counter[tuple[float, ...]] = Counter()
    begin = 0
    for size in SIZES:
        places = range(begin, begin + size)
        pairs = [(score, place, label) for place in places for label, score in enumerate(rows[place][4:])]
        pairs.sort(reverse=True)
        taken = pairs[:k]
        if per_class:
            labels = range(len(rows[0]) - 4)
            taken = [pair for label in labels for pair in [own for own in pairs if own[2] == label][:k]]
        for score, place, label in taken:
            x1, y1, x2, y2 = rows[place][:4]
            confidence = [0.0] * columns
            confidence[label] = score if x2 > x1 and y2 > y1 else 0.0
            box = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
            found[(*box, *confidence)] += 1
        begin += size
    return found


def rows_of(outputs: Sequence[Tensor]) -> Counter[tuple[float, ...]]:
    return Counter(map(tuple, torch.cat(list(outputs), dim=1).tolist()))


@cache
def graph_of(classes: int) -> Graph:
    return capture(Given().eval(), draw(0, classes), "features").graph


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), classes=st.integers(1, 4), k=st.integers(1, 40))
def test_as_a_plain_choice(seed: int, classes: int, k: int) -> None:
    """Of one class and of many; of fewer boxes than are asked for, and of more."""
    given = draw(seed, classes)
    graph, shapes = append_candidates(graph_of(classes), SIZES, k, HEIGHT, WIDTH, 5)
    count = sum(min(k, size * classes) for size in SIZES)
    assert shapes == {COORDINATES: (count, 4), CONFIDENCE: (count, 5)}
    found = graph.run(given)
    assert [tuple(item.shape) for item in found] == list(shapes.values())
    assert rows_of(found) == plain(given, k, 5)
    assert int((found[1] > 0).sum(dim=1).max()) <= 1, "a row is sure of one class"


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31), classes=st.integers(1, 4), k=st.integers(1, 9))
def test_of_each_class_as_a_plain_choice(seed: int, classes: int, k: int) -> None:
    given = draw(seed, classes)
    graph, shapes = append_candidates(graph_of(classes), SIZES, k, HEIGHT, WIDTH, 5, per_class=True)
    count = classes * sum(min(k, size) for size in SIZES)
    assert shapes == {COORDINATES: (count, 4), CONFIDENCE: (count, 5)}
    assert rows_of(graph.run(given)) == plain(given, k, 5, per_class=True)


def test_one_level_and_double_precision() -> None:
    graph = graph_of(3).copy()
    graph.cast(torch.float32, torch.float64)
    edited, shapes = append_candidates(graph, [sum(SIZES)], 5, HEIGHT, WIDTH, 3)
    coordinates, confidence = edited.run(draw(1, 3).double())
    assert coordinates.dtype == confidence.dtype == torch.float64
    assert shapes == {COORDINATES: (5, 4), CONFIDENCE: (5, 3)}
    assert len(graph.run(draw(1, 3).double())) == 2, "the graph that was given is as it was"


def test_it_is_captured_again() -> None:
    graph, _ = append_candidates(graph_of(3), SIZES, 5, HEIGHT, WIDTH, 80)
    given = draw(2, 3)
    program = recapture(graph, given)
    again = torch.utils._pytree.tree_leaves(program.module()(given))
    for found, expected in zip(again, graph.run(given), strict=True):
        assert torch.equal(found, expected)


def corners(graph: Graph, boxes: Any, height: int, width: int) -> Any:
    return boxes, right(graph, boxes, height, width)[1]


def swapped_sides(graph: Graph, boxes: Any, height: int, width: int) -> Any:
    return right(graph, boxes, width, height)


def in_pixels(graph: Graph, boxes: Any, *_: int) -> Any:
    return right(graph, boxes, 1, 1)


def y_before_x(graph: Graph, boxes: Any, height: int, width: int) -> Any:
    coordinates, has_area = right(graph, boxes, height, width)
    order = graph.add_weight("order", torch.tensor([1, 0, 3, 2]))
    return graph.call(torch.ops.aten.index_select.default, coordinates, 1, order, like=boxes), has_area


def corner_and_size(graph: Graph, boxes: Any, height: int, width: int) -> Any:
    """Leaves out that a centre is the middle of two corners."""
    coordinates, has_area = right(graph, boxes, height, width)
    half = graph.add_weight("half", torch.tensor([[0, 0, 0.5, 0.5]]))
    sides = graph.call(torch.ops.aten.mul.Tensor, coordinates, half, like=boxes)
    turn = graph.add_weight("turn", torch.tensor([2, 3, 0, 1]))
    turned = graph.call(torch.ops.aten.index_select.default, sides, 1, turn, like=boxes)
    return graph.call(torch.ops.aten.sub.Tensor, coordinates, turned, like=boxes), has_area


right = module._centre_form
WRONG_FORMS: list[Callable[..., Any]] = [
    corners, swapped_sides, in_pixels, y_before_x, corner_and_size,
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_FORMS)
def test_a_wrong_form_is_caught(monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Any]) -> None:
    monkeypatch.setattr(module, "_centre_form", wrong)
    graph, _ = append_candidates(graph_of(3), SIZES, 5, HEIGHT, WIDTH, 3)
    given = draw(3, 3)
    assert rows_of(graph.run(given)) != plain(given, 5, 3)


def test_a_wrong_order_of_classes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    own = module._own_column

    def reversed_columns(graph: Graph, best: Any, labels: Any, has_area: Any, columns: int) -> Any:
        last = graph.add_weight("last", torch.tensor(columns - 1))
        return own(graph, best, graph.call(torch.ops.aten.sub.Tensor, last, labels, like=best), has_area, columns)

    monkeypatch.setattr(module, "_own_column", reversed_columns)
    graph, _ = append_candidates(graph_of(3), SIZES, 5, HEIGHT, WIDTH, 3)
    given = draw(3, 3)
    assert rows_of(graph.run(given)) != plain(given, 5, 3)


def test_levels_of_other_sizes_are_no_mistake_that_goes_unnoticed() -> None:
    given = draw(3, 3)
    graph, _ = append_candidates(graph_of(3), SIZES[::-1], 5, HEIGHT, WIDTH, 3)
    assert rows_of(graph.run(given)) != plain(given, 5, 3)
