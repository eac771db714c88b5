"""Detections compared as such: what agrees, what is missing, and what rounding alone turns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.runners.base import Array, Values
from mobilevit_deploy.verification.detections import judge_detections
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate, Leg, run_leg

FLOAT32 = Tolerance(max_rel=1e-5, snr_db=60, top1_agreement=1.0, reason="as of ONNX in float32")
HALF = Tolerance(max_rel=2e-2, snr_db=20, top1_agreement=1.0, reason="as of ONNX in half precision")
INT8 = Tolerance(max_rel=2e-1, snr_db=0, top1_agreement=0.0, detections=0.8, reason="as of ONNX in int8")
BOXES = [[10.0, 10.0, 60.0, 50.0], [100.0, 20.0, 140.0, 200.0], [0.0, 0.0, 30.0, 30.0]]
SCORES = [0.9, 0.8, 0.3]
LABELS = [2.0, 0, 2]
PLACES = 5

Image = tuple[list[list[float]], list[float], list[float]]


def found(boxes: Any = BOXES, scores: Any = SCORES, labels: Any = LABELS) -> list[Values]:
    """Returns the outputs of one image, filled up to their size."""
    count = len(scores)
    full = np.zeros((1, PLACES, 4)), np.zeros((1, PLACES)), np.full((1, PLACES), -1.0), np.array([float(count)])
    full[0][0, :count], full[1][0, :count], full[2][0, :count] = np.reshape(boxes, (-1, 4)), scores, labels
    return [*full]


def without(place: int) -> list[Values]:
    kept = [i for i in range(len(SCORES)) if i != place]
    return found([BOXES[i] for i in kept], [SCORES[i] for i in kept], [LABELS[i] for i in kept])


def test_the_same() -> None:
    agreement, reasons = judge_detections(found(), found(), FLOAT32, ())
    assert reasons == []
    assert vars(agreement) == {
        "name": "detections", "agreement": 1.0, "unsure": 0.0, "count": 3, "missing": 0, "extra": 0,
        "smallest_iou": 1.0, "largest_score_difference": 0.0,
        "rms_score_difference": 0.0, "largest_mask_difference": None, "turned_mask_pixels": 0,
    }  # fmt: skip


def test_another_order_is_the_same() -> None:
    turned = found(BOXES[::-1], SCORES[::-1], LABELS[::-1])
    assert judge_detections(found(), turned, FLOAT32, ())[1] == []


WRONG: dict[str, list[Values]] = {
    "one is missing": without(1),
    "one is too many": found([*BOXES, [70, 70, 90, 90]], [*SCORES, 0.2], [*LABELS, 1]),
    "another class": found(labels=[2, 1, 2]),
    "a box moved by a pixel": found([[11, 10, 61, 50], *BOXES[1:]]),
    "x and y swapped": found([[box[i] for i in (1, 0, 3, 2)] for box in BOXES]),
    "the same one twice": found([BOXES[0], BOXES[0], BOXES[2]], SCORES, [2, 2, 2]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_ones_are_noticed(case: str) -> None:
    _, reasons = judge_detections(found(), WRONG[case], FLOAT32, ())
    assert "of 3 detections" in reasons[0]


def test_a_wrong_score_is_noticed() -> None:
    _, reasons = judge_detections(found(), found(scores=[0.9, 0.8, 0.3001]), FLOAT32, ())
    assert reasons == ["a score differs by 1.0e-04, more than 1e-05"]
    assert judge_detections(found(), found(scores=[0.9, 0.8, 0.3001]), HALF, ())[1] == []


def test_half_precision_may_move_a_box_by_its_own_steps() -> None:
    moved = found([[10.25, 10, 60.25, 50], *BOXES[1:]])
    assert judge_detections(found(), moved, HALF, ())[1] == []
    far = found([[15, 10, 65, 50], *BOXES[1:]])
    assert judge_detections(found(), far, HALF, ())[1] != []


def in_rows(count: int, moved: Sequence[int] = ()) -> list[Values]:
    """Returns so many detections in rows of 20, of which some lie elsewhere."""
    number = np.arange(count)
    left, top = number % 20 * 40.0 + np.where(np.isin(number, list(moved)), 20.0, 0.0), number // 20 * 40.0
    boxes = np.stack((left, top, left + 10, top + 10), axis=1)
    return [boxes[None], np.linspace(0.9, 0.5, count)[None], np.zeros((1, count)), np.array([float(count)])]


def test_as_many_may_turn_unseen_as_one_run_alone_turned() -> None:
    """Each of four runs turns three that no other run does: the next one would turn three more."""
    runs = [in_rows(400, range(start, start + 3)) for start in (100, 110, 120, 130)]
    assert judge_detections(in_rows(400), in_rows(400, range(12)), HALF, runs)[1] == []
    assert (
        "of 400 detections 13 are missing" in judge_detections(in_rows(400), in_rows(400, range(13)), HALF, runs)[1][0]
    )
    twice = [*runs[:1], *runs[:1]]
    assert judge_detections(in_rows(400), in_rows(400, range(1)), HALF, twice)[1] != []


def test_slivers_are_compared_by_their_corners() -> None:
    thin = [[100.0, 0, 100.001, 200], *BOXES[1:]]
    moved = [[100.0005, 0, 100.0015, 200], *BOXES[1:]]
    assert judge_detections(found(thin), found(moved), FLOAT32, ())[1] == []


def test_what_rounding_alone_takes_is_no_mistake() -> None:
    agreement, reasons = judge_detections(found(), without(1), FLOAT32, [without(1), found()])
    assert reasons == []
    assert agreement.unsure == pytest.approx(1 / 3)
    assert judge_detections(found(), without(0), FLOAT32, [without(1), *6 * [found()]])[1] != []


def test_what_rounding_alone_brings_is_no_mistake() -> None:
    assert judge_detections(without(1), found(), FLOAT32, [found()])[1] == []
    assert judge_detections(without(1), found(), FLOAT32, [without(1)])[1] != []


def test_the_noise_of_the_scores_is_allowed() -> None:
    noisy = found(scores=[0.90001, 0.8, 0.3])
    moved = found(scores=[0.9, 0.8, 0.30003])
    assert judge_detections(found(), moved, FLOAT32, ())[1] != []
    assert judge_detections(found(), moved, FLOAT32, [noisy])[1] == []


def test_two_boxes_on_each_other_are_paired_by_their_scores() -> None:
    same = [BOXES[0], BOXES[0]]
    before, after = found(same, [0.9, 0.5], [1, 1]), found(same, [0.5, 0.9], [1, 1])
    assert judge_detections(before, after, FLOAT32, ())[1] == []


def test_nothing_found_on_both_sides() -> None:
    nothing = found([], [], [])
    assert judge_detections(nothing, nothing, FLOAT32, ())[0].agreement == 1


def test_other_shapes_and_no_numbers() -> None:
    short = [output[:, :2] if output.ndim > 1 else output for output in found()]
    assert judge_detections(found(), short, FLOAT32, ())[1] == ["boxes has the shape (2, 4) instead of (5, 4)"]
    broken = found(scores=[0.9, np.nan, 0.3])
    assert "NaN or infinite" in judge_detections(found(), broken, FLOAT32, ())[1][0]


def with_masks(outputs: list[Values], *, order: Any = (0, 1, 2), changed: Any = ()) -> list[Values]:
    """Returns the outputs with a mask of 4 x 4 for each of the three detections, and pixels changed by so much."""
    own = np.random.default_rng(0).uniform(0.6, 0.9, (3, 4, 4)) * [[[1], [1], [0], [0]]]
    own[0, 0, 0] = 0.501
    for place, row, column, by in changed:
        own[place, row, column] += by
    masks = np.zeros((1, PLACES, 4, 4))
    masks[0, : len(order)] = own[list(order)]
    return [*outputs, masks]


def test_masks_are_compared_of_the_detections_that_they_are_of() -> None:
    turned = with_masks(found(BOXES[::-1], SCORES[::-1], LABELS[::-1]), order=(2, 1, 0))
    agreement, reasons = judge_detections(with_masks(found()), turned, FLOAT32, ())
    assert (reasons, agreement.largest_mask_difference, agreement.turned_mask_pixels) == ([], 0.0, 0)
    _, reasons = judge_detections(with_masks(found()), with_masks(found(), order=(1, 0, 2)), FLOAT32, ())
    assert "a mask differs by" in reasons[0]


def test_the_mask_of_a_detection_that_rounding_takes_is_not_compared() -> None:
    before, after = with_masks(found()), with_masks(without(1), order=(0, 2))
    assert judge_detections(before, after, FLOAT32, [after])[1] == []


def test_a_wrong_pixel_of_a_mask_is_noticed() -> None:
    after = with_masks(found(), changed=[(2, 0, 1, -0.4), (0, 0, 0, -0.002)])
    agreement, reasons = judge_detections(with_masks(found()), after, FLOAT32, ())
    assert agreement.largest_mask_difference == pytest.approx(0.4)
    assert agreement.turned_mask_pixels == 2
    assert reasons == [
        "a mask differs by 4.0e-01, 40000.0 times what rounding may move it by, and 2 pixels are turned of which the "
        "reference is sure"
    ]
    # Half precision may move the pixel that lies beside the threshold, and the reference is not sure of it.
    near = with_masks(found(), changed=[(0, 0, 0, -0.002)])
    agreement, reasons = judge_detections(with_masks(found()), near, HALF, ())
    assert (reasons, agreement.turned_mask_pixels) == ([], 0)


def test_the_noise_of_a_mask_is_allowed_of_that_mask_alone() -> None:
    noisy = with_masks(found(), changed=[(1, 0, 0, 1e-4)])
    for place, right in ((1, True), (0, False)):
        after = with_masks(found(), changed=[(place, 1, 1, -3e-4)])
        assert (judge_detections(with_masks(found()), after, FLOAT32, [noisy])[1] == []) == right


MANY = np.array(
    [[10.0 + 60 * (i % 5), 10.0 + 90 * (i // 5), 50.0 + 60 * (i % 5), 90.0 + 90 * (i // 5)] for i in range(20)]
)
SURE = np.linspace(0.9, 0.3, 20)
CLASSES = np.arange(20.0) % 3


def many(boxes: Any = MANY, scores: Any = SURE, labels: Any = CLASSES, count: int = 20) -> list[Values]:
    """Returns twenty detections of one image, or the first of them."""
    return [boxes[None], scores[None], labels[None], np.array([float(count)])]


def one_off(values: Values, by: float) -> Values:
    return np.concatenate((values[:7], values[7:8] - by, values[8:]))


def test_a_compressed_detector_is_held_to_its_detections_and_not_to_the_one_that_differs_most() -> None:
    lost = many(scores=one_off(SURE, 0.35))
    agreement, reasons = judge_detections(many(), lost, INT8, ())
    assert reasons == []
    assert agreement.largest_score_difference == pytest.approx(0.35)
    assert agreement.rms_score_difference == pytest.approx(0.35 / 20**0.5)
    each = INT8.model_copy(update={"detections": None})
    assert judge_detections(many(), lost, each, ())[1] == ["a score differs by 3.5e-01, more than 2e-01"]
    assert judge_detections(many(), many(count=17), INT8, ())[1] == []
    assert judge_detections(many(), many(MANY + 4), INT8, ())[1] == [], "AP50 counts them as found"


WRONG_IN_INT8: dict[str, list[Values]] = {
    "scores of a third of the size": many(scores=SURE / 3),
    "a third of them missing": many(count=12),
    "boxes of anchors that are not theirs": many(np.roll(MANY, 1, axis=0)),
    "an offset of half a box": many(MANY + 20),
    "a stride of twice the size": many(MANY * 2),
    "width and height swapped": many(np.concatenate((MANY[:, :2], MANY[:, :2] + [80, 40]), axis=1)),
    "classes from 1 on": many(labels=CLASSES + 1),
}


@pytest.mark.parametrize("case", WRONG_IN_INT8)
def test_a_wrong_detector_in_int8_is_noticed(case: str) -> None:
    assert judge_detections(many(), WRONG_IN_INT8[case], INT8, ())[1] != []


@pytest.mark.parametrize(("turned", "reasons"), [(1, 0), (8, 1)])
def test_a_mask_of_a_compressed_file_is_held_to_all_of_its_pixels(turned: int, reasons: int) -> None:
    after = with_masks(found(), changed=[(0, i // 4, i % 4, -0.5) for i in range(turned)])
    assert len(judge_detections(with_masks(found()), after, INT8, ())[1]) == reasons


RULE = Suppression(
    candidates=100, score_threshold=0.05, iou_threshold=0.5, max_detections=20, strides=(), anchors=1
)  # fmt: skip


class Boxes:
    """Returns all boxes of an image, (1, 20, 4), and how likely each of three classes is, (1, 20, 3)."""

    name = "boxes"
    settings: Mapping[str, str] = {}

    def __init__(self, scores: Values = SURE) -> None:
        self._scores = scores

    def run(self, batch: Array) -> list[Array]:
        scores = np.eye(3)[CLASSES.astype(int)] * self._scores[:, None] * (0.9 + 0.1 * np.tanh(batch.mean()))
        return [MANY[None].astype(np.float32), scores[None].astype(np.float32)]


def judge_boxes(scores: Values, rule: Suppression | None = RULE, reference: Values = SURE) -> Leg:
    images = make_samples(3, 3, 16, 16)
    expected = Expected(Boxes(reference), images, 1, ["boxes", "scores"], chosen_by=rule)
    return run_leg(Boxes(scores), Candidate(ARTIFACT, "int8", INT8, []), expected)


def test_where_an_app_chooses_among_the_boxes_a_compressed_file_is_held_to_what_is_chosen() -> None:
    one = one_off(SURE, 0.35)
    leg = judge_boxes(one)
    assert (leg.passed, leg.allowance) == (True, "detections")
    assert "scores differs by" in leg.beyond[0]
    assert leg.decisions[0].agreement == 1
    assert not judge_boxes(one, rule=None).passed, "nobody says how an app chooses"
    assert not judge_boxes(SURE / 3).passed
    assert not judge_boxes(np.where(np.arange(20) == 7, np.nan, SURE)).passed
    assert not judge_boxes(one * 0.05, reference=SURE * 0.05).passed, "where nothing is shown, the numbers say it"
