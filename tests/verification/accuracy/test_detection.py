"""Average precision beside a plain computation of it, from boxes scaled back to each picture; wrong versions differ."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.architectures.operations.suppression import overlaps
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.images.boxes import BoxedImages, Boxes, read_boxed
from mobilevit_deploy.images.outlines import Outline, outline_of_pixels
from mobilevit_deploy.images.preparation import Fit
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.verification.accuracy.detection import (
    DetectAccuracy,
    DetectEvaluation,
    Detections,
    Masks,
    average_precision,
    in_picture,
    outlined,
)
from tests.images.test_boxes import CARD
from tests.support.annotated import coco, pictures, pixels_of, write_boxes, write_pictures

NAMES = ("cat", "dog", "kite")
OVERLAPS = np.linspace(0.5, 0.95, 10)


def made(seed: int, images: int = 6) -> tuple[BoxedImages, list[Detections]]:
    """Returns images of three boxes each, and detections of them: moved, some of another class, and some of nothing."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        corners = rng.uniform(0, 60, (3, 2))
        boxes = np.concatenate((corners, rng.uniform(10, 40, (3, 2))), axis=1)
        labels = rng.integers(0, 2, 3)
        truth.append(Boxes(boxes, labels, np.zeros(3, bool)))
        moved = boxes + rng.normal(0, 1.5, (3, 4))
        wrong = np.concatenate((rng.uniform(0, 60, (2, 2)), rng.uniform(10, 40, (2, 2))), axis=1)
        both = np.concatenate((moved, wrong))
        xyxy = np.concatenate((both[:, :2], both[:, :2] + both[:, 2:]), axis=1)
        given = np.where(rng.random(5) < 0.8, np.concatenate((labels, rng.integers(0, 2, 2))), 1)
        found.append(Detections(xyxy, rng.random(5) + np.array([0.3, 0.3, 0.3, 0, 0]), given.astype(float)))
    return BoxedImages(None, tuple(truth), NAMES), found  # type: ignore[arg-type]  # no image is looked at


def plain(given: BoxedImages, found: Sequence[Detections], label: int, least: float) -> float:
    """Returns the average precision of a class at one overlap: the mean of the best precision at 101 recalls."""
    hits, scores, count = [], [], 0
    for own, detected in zip(given.boxes, found, strict=True):
        corners = np.concatenate((own.boxes[:, :2], own.boxes[:, :2] + own.boxes[:, 2:]), axis=1)[own.labels == label]
        count += len(corners)
        free = [True] * len(corners)
        mine = [i for i in np.argsort(-detected.scores) if detected.labels[i] == label]
        for i in mine:
            shared = [
                iou if unused else -1 for iou, unused in zip(overlaps(detected.boxes[i], corners), free, strict=True)
            ]
            hit = bool(shared) and max(shared) >= least
            if hit:
                free[int(np.argmax(shared))] = False
            hits.append(hit)
            scores.append(detected.scores[i])
    order = np.argsort(-np.array(scores))
    right = np.cumsum(np.array(hits)[order])
    precision, recall = right / np.arange(1, len(right) + 1), right / count
    return float(np.mean([precision[recall >= level].max(initial=0) for level in np.linspace(0, 1, 101)]))


@pytest.mark.parametrize("seed", [0, 1])
def test_precision_is_that_of_a_plain_computation(seed: int) -> None:
    given, found = made(seed)
    expected = np.array([[plain(given, found, label, least) for least in OVERLAPS] for label in range(2)])
    scores = average_precision(given, found)
    assert scores.aps[:2] == pytest.approx(expected.mean(axis=1))
    assert scores.aps[2] is None  # there is no kite
    assert scores.ap == pytest.approx(expected.mean())
    assert scores.ap50 == pytest.approx(expected[:, 0].mean())
    assert 0.1 < scores.ap < scores.ap50 < 0.95


def test_wrong_versions_are_worse() -> None:
    given, found = made(0)
    right = average_precision(given, found)
    turned = [replace(item, labels=1 - item.labels) for item in found]
    assert average_precision(given, turned).ap < right.ap / 2
    exchanged = [replace(item, boxes=item.boxes[:, [1, 0, 3, 2]]) for item in found]
    assert average_precision(given, exchanged).ap < right.ap / 2
    moved = [replace(item, boxes=item.boxes + 2) for item in found]
    assert average_precision(given, moved).ap < right.ap - 0.05
    assert average_precision(given, [replace(item, scores=-item.scores) for item in found]).ap < right.ap
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    assert average_precision(given, [nothing] * len(found)).ap == 0
    broken = [replace(item, boxes=item.boxes * np.nan) for item in found]
    assert average_precision(given, broken).ap == 0


def with_masks(given: BoxedImages, found: list[Detections]) -> tuple[BoxedImages, list[Detections]]:
    """Returns both with the pixels of their boxes, all of whose sides are whole numbers."""

    def outline(corners: Array) -> Outline:
        pixels = np.zeros((128, 128), bool)
        x1, y1, x2, y2 = np.clip(corners, 0, 128).astype(int)
        pixels[y1:y2, x1:x2] = True
        return outline_of_pixels(pixels)

    boxes, masked = [], []
    for own, item in zip(given.boxes, found, strict=True):
        whole, moved = np.rint(own.boxes), np.clip(np.rint(item.boxes), 0, 128)
        corners = np.concatenate((whole[:, :2], whole[:, :2] + whole[:, 2:]), axis=1)
        boxes.append(replace(own, boxes=whole, outlines=tuple(map(outline, corners))))
        masked.append(replace(item, boxes=moved, outlines=tuple(map(outline, moved))))
    return replace(given, boxes=tuple(boxes)), masked


def _next(outlines: tuple[Outline, ...]) -> tuple[Outline, ...]:
    return (*outlines[1:], outlines[0])


def test_masks_are_measured_by_their_pixels() -> None:
    given, found = with_masks(*made(0))
    scores = average_precision(given, found)
    assert scores.masks is not None
    assert (scores.masks.ap, scores.masks.ap50) == pytest.approx((scores.ap, scores.ap50))  # of boxes that are filled
    turned = [replace(item, outlines=_next(item.outlines or ())) for item in found]
    wrong = average_precision(given, turned)
    assert wrong.masks is not None
    assert (wrong.ap, wrong.masks.ap < scores.masks.ap / 2) == (scores.ap, True)
    assert average_precision(given, [replace(item, outlines=None) for item in found]).masks is None
    assert average_precision(made(0)[0], found).masks is None


def test_a_mask_is_cut_where_its_box_is_in_the_picture() -> None:
    shares = np.zeros((2, 4, 4))
    shares[:, :, 2:] = 1  # the right half of its box
    boxes = np.array([[8.0, 4, 24, 20], [5, 5, 5, 9]])
    found = Detections(boxes, np.ones(2), np.zeros(2), Masks(shares, boxes))
    placed = outlined(in_picture(found, Fit((32, 64), (16, 32))), Fit((32, 64), (16, 32)))
    assert placed.outlines is not None
    pixels = [pixels_of(outline) for outline in placed.outlines]
    assert pixels[0].shape == (32, 64)
    assert pixels[0].sum() == pixels[0][8:32, 32:48].sum() > 0.95 * 24 * 16, "all but its corners"
    assert len(pixels) == 1, "a box without area is none"


def test_all_that_is_found_of_a_crowd_is_neither_right_nor_wrong() -> None:
    truth = Boxes(np.array([[0, 0, 10, 10], [50, 50, 40, 40]]), np.array([0, 0]), np.array([False, True]))
    found = Detections(
        np.array([[60, 60, 70, 70], [75, 75, 85, 85], [0, 0, 10, 10]]), np.array([0.9, 0.8, 0.7]), np.zeros(3)
    )
    given = BoxedImages(None, (truth,), NAMES)  # type: ignore[arg-type]
    assert average_precision(given, [found]).ap == pytest.approx(1)
    plain_box = replace(truth, crowds=np.zeros(2, bool))
    assert average_precision(replace(given, boxes=(plain_box,)), [found]).ap < 0.2


def test_boxes_in_the_padding_alone_are_none() -> None:
    """The model's input is 32 x 32, and the picture in it has 20 rows and 30 columns."""
    boxes = np.array([[2.0, 22, 8, 30], [4, 4, 8, 8], [31, 2, 32, 9], [29, 19, 32, 32]])
    shares = np.arange(4.0)[:, None, None] * np.ones((4, 2, 2))
    found = Detections(boxes, np.array([0.9, 0.8, 0.7, 0.6]), np.arange(4.0), Masks(shares, boxes))
    placed = in_picture(found, Fit((40, 60), (20, 30)))
    assert placed.boxes.tolist() == [[8, 8, 16, 16], [58, 38, 60, 40]]
    assert (placed.scores.tolist(), placed.labels.tolist()) == ([0.8, 0.6], [1, 3])
    assert placed.masks is not None
    assert (placed.masks.shares[:, 0, 0].tolist(), placed.masks.boxes.tolist()) == (
        [1, 3],
        (2 * boxes[[1, 3]]).tolist(),
    )


def test_boxes_are_scaled_back_and_clipped() -> None:
    found = Detections(np.array([[-1.0, 8, 16, 20], [4, 4, 8, 8]]), np.ones(2), np.zeros(2))
    moved = in_picture(found, Fit((40, 60), (20, 30)))  # twice as large in both directions
    assert moved.boxes.tolist() == [[0, 16, 32, 40], [8, 8, 16, 16]]
    stretched = in_picture(found, Fit((40, 60), (20, 15)))
    assert stretched.boxes.tolist() == [[0, 16, 60, 40], [16, 8, 32, 16]]


class Known:
    """Returns known boxes, in pixels of the input of 32 x 32, as detections or as boxes with scores of each class."""

    name = "known"
    settings: Mapping[str, str] = {}

    def __init__(self, boxes: Sequence[Sequence[float]], *, suppressed: bool, label: int = 1) -> None:
        self.boxes, self.suppressed, self.label = np.array(boxes, np.float32), suppressed, label

    def run(self, batch: Array) -> list[Any]:
        boxes = np.concatenate((self.boxes, np.zeros((1, 4), np.float32)))  # an empty place
        scores = np.array([0.9] * len(self.boxes) + [0.0], np.float32)
        labels = np.array([self.label] * len(self.boxes) + [-1], np.int32)
        if self.suppressed:
            return [boxes[None], scores[None], labels[None], np.array([len(self.boxes)], np.int32)]
        of_classes = np.zeros((len(boxes), 3), np.float32)
        of_classes[:, self.label] = scores
        return [np.stack([boxes] * len(batch)), np.stack([of_classes] * len(batch))]


def measure(path: Path, artifact: Known, batch: int = 1, rule: Suppression | None = None) -> DetectAccuracy:
    """Measures on two images of 64 x 48 pixels, which are resized to 32 x 24, with a dog in each."""
    folder = write_pictures(path / "images", pictures(2, 64, 48))
    content = coco([(64, 48)] * 2, [(0, 1, (10, 20, 20, 30)), (1, 1, (10, 20, 20, 30))], NAMES)
    given = read_boxed(folder, write_boxes(path / "boxes.json", content), (3, 32, 32), CARD, NAMES, named=True)
    right = Known([[5, 10, 15, 25]], suppressed=True)
    evaluation = DetectEvaluation(given)
    reference = evaluation.run(right, 1, lambda _line: None)
    return evaluation.compare(reference, DetectEvaluation(given, rule).run(artifact, batch, lambda _line: None))


def test_both_sides(tmp_path: Path) -> None:
    same = measure(tmp_path, Known([[5, 10, 15, 25]], suppressed=True))
    assert (same.images, same.classes, same.boxes) == (2, NAMES, (0, 2, 0))
    assert (same.reference, same.artifact) == pytest.approx((1, 1))
    assert same.after.aps[1] == pytest.approx(1)
    assert same.after.aps[::2] == (None, None)
    other = measure(tmp_path, Known([[5, 10, 15, 25]], suppressed=True, label=2))
    assert other.reference == pytest.approx(1)
    assert other.artifact == 0
    unscaled = measure(tmp_path, Known([[10, 20, 30, 32]], suppressed=True))
    assert unscaled.artifact == 0


def test_boxes_before_suppression_are_suppressed_by_the_rule(tmp_path: Path) -> None:
    rule = Suppression(
        candidates=10, score_threshold=0.05, iou_threshold=0.5, max_detections=5, strides=(32,), anchors=4
    )
    three: list[list[float]] = [[5, 10, 15, 25], [5, 10, 15, 24.5], [5, 9.5, 15, 25]]
    assert measure(tmp_path, Known(three, suppressed=False), 2, rule).artifact == pytest.approx(1)
    loose = rule.model_copy(update={"iou_threshold": 1.0})
    unsuppressed = measure(tmp_path, Known(three[::-1], suppressed=False), 2, loose)
    assert unsuppressed.after.ap50 < 0.9  # the same box again is a wrong one
