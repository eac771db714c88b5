"""Non-maximum suppression as an op: its plain definition, by hand and beside another one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.architectures.operations.suppression import NO_CLASS, SUPPRESS, choose, overlaps, suppress

HALF = [0.0, 0.0, 10.0, 5.0]  # of WHOLE
WHOLE = [0.0, 0.0, 10.0, 10.0]
AWAY = [20.0, 20.0, 30.0, 30.0]


def run(boxes: list[list[float]], scores: list[list[float]], **settings: float) -> list[tuple[int, int, float]]:
    """Returns box, class and score of each detection."""
    rule = {"iou": 0.5, "score": 0.05, "candidates": 100, "most": 5, "per_class": False} | settings
    found = suppress(
        torch.tensor([boxes]), torch.tensor([scores]), [len(boxes)], int(rule["candidates"]), rule["score"],
        rule["iou"], int(rule["most"]), bool(rule["per_class"]),
    )  # fmt: skip
    kept, values, labels, count = (part[0] for part in found)
    assert (labels[count:] == NO_CLASS).all()
    assert not values[count:].any()
    places = [boxes.index(box) for box in kept[:count].tolist()]
    return list(zip(places, labels[:count].tolist(), np.round(values[:count].tolist(), 4), strict=True))


def test_of_boxes_of_a_class_that_overlap_the_best_is_left() -> None:
    boxes, scores = [HALF, WHOLE, AWAY], [[0.6], [0.9], [0.3]]
    assert run(boxes, scores, iou=0.4) == [(1, 0, 0.9), (2, 0, 0.3)]
    assert run(boxes, scores, iou=0.5) == [(1, 0, 0.9), (0, 0, 0.6), (2, 0, 0.3)], "an overlap of the threshold is none"


def test_boxes_of_other_classes_stay() -> None:
    assert run([HALF, WHOLE], [[0.6, 0.0], [0.0, 0.9]], iou=0.1) == [(1, 1, 0.9), (0, 0, 0.6)]


def test_a_box_may_be_of_two_classes() -> None:
    assert run([WHOLE], [[0.6, 0.7]]) == [(0, 1, 0.7), (0, 0, 0.6)]


def test_the_threshold_itself_is_too_little() -> None:
    assert run([WHOLE, AWAY], [[0.25], [0.5]], score=0.25) == [(1, 0, 0.5)]
    assert run([WHOLE], [[0.25]], score=0.3) == []


def test_boxes_without_area_are_left_out() -> None:
    assert run([[0.0, 0.0, 10.0, 0.0], AWAY], [[0.9], [0.5]]) == [(1, 0, 0.5)]


def test_each_level_has_its_own_candidates() -> None:
    boxes, scores = torch.tensor([[WHOLE, AWAY]]), torch.tensor([[[0.9], [0.1]]])
    kept = [suppress(boxes, scores, sizes, 1, 0.05, 0.5, 5)[1][0, :2].tolist() for sizes in ([2], [1, 1])]
    np.testing.assert_allclose(kept, [[0.9, 0], [0.9, 0.1]], rtol=1e-6)


def test_each_class_may_have_its_own_candidates() -> None:
    boxes, scores = [WHOLE, AWAY], [[0.9, 0.1], [0.8, 0.2]]
    assert run(boxes, scores, candidates=1) == [(0, 0, 0.9)]
    assert run(boxes, scores, candidates=1, per_class=True) == [(0, 0, 0.9), (1, 1, 0.2)]
    assert len(run(boxes, scores, candidates=3, per_class=True)) == 4


def test_no_more_than_asked_for() -> None:
    assert [box for box, _, _ in run([WHOLE, AWAY], [[0.5], [0.9]], most=1)] == [1]


def test_equal_scores_have_an_order() -> None:
    assert run([AWAY, WHOLE], [[0.5, 0.5], [0.5, 0.5]]) == [(0, 0, 0.5), (1, 0, 0.5), (0, 1, 0.5), (1, 1, 0.5)]


def test_overlaps() -> None:
    assert overlaps(np.array(WHOLE), np.array([HALF, WHOLE, AWAY, [5.0, 5.0, 5.0, 5.0]])).tolist() == [0.5, 1, 0, 0]
    assert overlaps(np.zeros(4), np.zeros((1, 4))).tolist() == [0]


def test_the_op_keeps_the_rules_of_ops() -> None:
    arguments = (torch.rand(1, 20, 4), torch.rand(1, 20, 3), [12, 8], 5, 0.05, 0.5, 7)
    torch.library.opcheck(SUPPRESS, arguments)


def slow(boxes: Tensor, scores: Tensor, threshold: float, iou: float) -> set[tuple[int, int]]:
    """Returns what is left, by its definition: whatever no better one that is left itself stands in the way of."""
    pairs = [(int(i), int(c)) for i, c in torch.nonzero(scores > threshold)]
    pairs.sort(key=lambda pair: (-float(scores[pair]), pair[1], pair[0]))
    kept: list[tuple[int, int]] = []
    for box, label in pairs:
        rivals = [other for other, own in kept if own == label]
        if all(float(overlaps(boxes[other].numpy(), boxes[box : box + 1].numpy())[0]) <= iou for other in rivals):
            kept.append((box, label))
    return set(kept)


@given(seed=st.integers(0, 2**16), count=st.integers(1, 25), classes=st.integers(1, 3), iou=st.floats(0.05, 0.95))
def test_beside_the_definition(seed: int, count: int, classes: int, iou: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 8
    boxes = torch.cat((corners, corners + 1 + torch.rand(count, 2, generator=generator) * 8), dim=1)
    scores = torch.randint(0, 9, (count, classes), generator=generator) / 10  # with ties
    places, labels = choose(boxes.numpy(), scores.numpy(), [count], 1000, 0.15, iou, 1000)
    assert set(zip(places.tolist(), labels.tolist(), strict=True)) == slow(boxes, scores, 0.15, iou)
    assert (np.diff(scores.numpy()[places, labels]) <= 0).all()


@pytest.mark.parametrize("sizes", [[], [0, 0]])
def test_no_boxes_at_all(sizes: list[int]) -> None:
    found = suppress(torch.zeros(1, 0, 4), torch.zeros(1, 0, 3), sizes, 10, 0.05, 0.5, 2)
    assert [part.tolist() for part in found] == [[[[0.0] * 4] * 2], [[0.0, 0.0]], [[-1, -1]], [0]]
