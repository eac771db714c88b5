"""Core ML's non-maximum suppression beside a plain one: the five steps of the format's comment, in exact fractions."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil import suppression
from mobilevit_deploy.targets.coreml.mil.suppression import LARGEST_COUNT, Suppression

Rows = Sequence[Sequence[Fraction]]


def plain(boxes: Rows, scores: Rows, iou: Fraction, least: Fraction, per_class: bool) -> list[int]:
    """Returns the rows that are kept, in the order of their taking."""
    label = [max(range(len(row)), key=lambda i: (row[i], -i)) for row in scores]
    left = [i for i in range(len(boxes)) if max(scores[i]) >= least]
    kept = []
    while left:
        top = left[0]
        for i in left:  # equal ones keep their order
            if max(scores[i]) > max(scores[top]):
                top = i
        kept.append(top)
        others = []
        for i in left:
            same = not per_class or label[i] == label[top]
            if i != top and not (same and overlap(boxes[i], boxes[top]) > iou):
                others.append(i)
        left = others
    return kept


def overlap(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    shared = Fraction(1)
    for axis in range(2):
        low = max(box[axis] - box[axis + 2] / 2 for box in (one, other))
        high = min(box[axis] + box[axis + 2] / 2 for box in (one, other))
        shared *= max(high - low, Fraction(0))
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union else Fraction(0)


# Eighths and sixteenths are exact in float32, and small enough that a rounded quotient compares as the exact one does.
def shares(largest: int, parts: int) -> st.SearchStrategy[Fraction]:
    return st.integers(0, largest).map(lambda i: Fraction(i, parts))


boxes_of = st.lists(st.tuples(*(shares(8, 8) for _ in range(4))), max_size=9)


@settings(deadline=None, max_examples=60)
@given(
    boxes=boxes_of,
    classes=st.integers(1, 3),
    iou=shares(16, 16),
    least=shares(4, 4),
    per_class=st.booleans(),
    most=st.none() | st.integers(0, 4),
    fewest=st.integers(0, 5),
    data=st.data(),
)
def test_as_a_plain_one(
    boxes: list[tuple[Fraction, ...]],
    classes: int,
    iou: Fraction,
    least: Fraction,
    per_class: bool,
    most: int | None,
    fewest: int,
    data: st.DataObject,
) -> None:
    row = st.tuples(*(shares(4, 4) for _ in range(classes)))  # few values, so that many are equal
    scores = data.draw(st.lists(row, min_size=len(boxes), max_size=len(boxes)))
    coordinates = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    confidence = np.array(scores, dtype=np.float32).reshape(-1, classes)
    rule = Suppression("", "", "", "", 0.5, 0.5, per_class=per_class, fewest=fewest, most=most)
    left, sure = rule.run(coordinates, confidence, float(iou), float(least))
    kept = plain(boxes, scores, iou, least, per_class)[:most]
    padding = max(0, fewest - len(kept))
    assert np.array_equal(left, np.pad(coordinates[kept], ((0, padding), (0, 0))))
    assert np.array_equal(sure, np.pad(confidence[kept], ((0, padding), (0, 0))))


# Two equal boxes, one that overlaps them by 1/3, and one apart; the labels are 0, 1, 0, 0.
BOXES = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0.75, 0.5, 0.5, 0.5], [0, 0, 0.1, 0.1]], np.float32)
SCORES = np.array([[0.5, 0.1], [0.2, 0.9], [0.75, 0.0], [0.25, 0.0]], np.float32)
ONE, OTHER = (Suppression("", "", "", "", 0.5, 0.5, per_class=per_class) for per_class in (True, False))


@pytest.mark.parametrize(
    ("rule", "iou", "least", "kept"),
    [
        (ONE, 0.5, 0.0, [1, 2, 0, 3]),  # of another label, and less than half: all are kept
        (OTHER, 0.5, 0.0, [1, 2, 3]),
        (OTHER, 1.0, 0.0, [1, 2, 0, 3]),  # nothing overlaps by more than 1
        (ONE, 0.25, 0.0, [1, 2, 3]),
        (OTHER, 0.25, 0.0, [1, 3]),
        (OTHER, 0.0, 0.0, [1, 3]),  # what is apart does not overlap
        (ONE, 0.5, 0.25, [1, 2, 0, 3]),  # equal to the threshold is not below it
        (ONE, 0.5, 0.26, [1, 2, 0]),
        (ONE, 0.5, 0.91, []),
    ],
)
def test_by_hand(rule: Suppression, iou: float, least: float, kept: list[int]) -> None:
    left, sure = rule.run(BOXES, SCORES, iou, least)
    assert np.array_equal(left, BOXES[kept])
    assert np.array_equal(sure, SCORES[kept])


def test_what_is_no_number_overlaps_nothing_and_is_sure_of_nothing() -> None:
    boxes, scores = BOXES.copy(), SCORES.copy()
    boxes[3], scores[2] = np.nan, np.nan
    left, _ = OTHER.run(boxes, scores, 0.5, 0.0)
    assert np.array_equal(left, boxes[[1, 3]], equal_nan=True)
    boxes[0] = np.inf
    assert len(OTHER.run(boxes, scores, 0.5, 0.0)[0]) == 3


@pytest.mark.parametrize(
    ("boxes", "scores", "iou", "least", "reason"),
    [
        (BOXES[:, :3], SCORES, 0.5, 0.5, r"not \[4, 3\] and \[4, 2\]"),
        (BOXES[None], SCORES, 0.5, 0.5, r"not \[1, 4, 4\]"),
        (BOXES, SCORES[:, :0], 0.5, 0.5, r"not \[4, 4\] and \[4, 0\]"),
        (BOXES[:3], SCORES, 0.5, 0.5, "another number of coordinates"),
        (BOXES, SCORES, 1.01, 0.5, "an IoU threshold of 1.01"),
        (BOXES, SCORES, float("nan"), 0.5, "an IoU threshold of nan"),
        (BOXES, SCORES, 0.5, -0.1, "a confidence threshold of -0.1"),
        (BOXES, SCORES, 0.5, float("inf"), "a confidence threshold of inf"),
        (np.zeros((LARGEST_COUNT + 1, 4)), np.zeros((LARGEST_COUNT + 1, 1)), 0.5, 0.5, "262,145 boxes"),
    ],
)
def test_refused(
    boxes: suppression.Numbers, scores: suppression.Numbers, iou: float, least: float, reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        ONE.run(boxes, scores, iou, least)
