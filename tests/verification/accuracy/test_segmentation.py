"""mIoU beside a plain count of pixels, and labels of images beside what MMSegmentation does; wrong versions differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.masks import IGNORED, MaskedImages, read_masked
from mobilevit_deploy.images.preparation import Fit
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.verification.accuracy import segmentation
from mobilevit_deploy.verification.accuracy.segmentation import (
    SegmentAccuracy,
    SegmentEvaluation,
    confusion,
    labels_of,
    scores,
)
from tests.images.test_masks import CARD
from tests.support.annotated import pictures, write_masks, write_pictures

RNG = np.random.default_rng(0)
NAMES = ("sky", "road", "cat", "dog")

Labels = npt.NDArray[np.int64]


def plain(pairs: Sequence[tuple[Labels, Labels]], count: int) -> tuple[list[float | None], float]:
    """Returns the intersection over union of each class, and the share of right pixels, one pixel after the other."""
    shared, union, right, known = [0] * count, [0] * count, 0, 0
    for labels, found in pairs:
        for wanted, given in zip(labels.ravel().tolist(), found.ravel().tolist(), strict=True):
            if wanted == IGNORED:
                continue
            known, right = known + 1, right + (wanted == given)
            for number in range(count):
                shared[number] += wanted == given == number
                union[number] += number in (wanted, given)
    return [a / b if b else None for a, b in zip(shared, union, strict=True)], right / known


def test_scores_are_those_of_a_plain_count() -> None:
    pairs = [(RNG.integers(0, 3, (9, 11)), RNG.integers(-1, 5, (9, 11))) for _ in range(3)]
    for labels, _ in pairs:
        labels[RNG.random(labels.shape) < 0.2] = IGNORED
    ious, right = plain(pairs, 5)
    found = scores(sum(confusion(labels, given, 5) for labels, given in pairs))  # type: ignore[arg-type]
    assert found.ious == pytest.approx(tuple(ious))
    assert found.pixel_accuracy == pytest.approx(right)
    assert found.mean_iou == pytest.approx(np.mean([iou for iou in ious if iou is not None]))


def test_a_class_that_is_nowhere_does_not_count() -> None:
    labels = np.array([[0, 0, 1, 1]])
    found = scores(confusion(labels, np.array([[0, 0, 1, 0]]), 4))
    assert found.ious == (2 / 3, 1 / 2, None, None)
    assert found.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores(confusion(np.full((2, 2), IGNORED), np.zeros((2, 2), int), 2)).mean_iou == 0


def as_mmsegmentation(logits: Array, fit: Fit, size: tuple[int, int]) -> Labels:
    height, width = fit.resized
    whole = F.interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False)
    cropped = whole[:, :, :height, :width]
    own = F.interpolate(cropped, size=fit.picture, mode="bilinear", align_corners=False)
    labels: Labels = own.argmax(dim=1)[0].numpy()
    return labels


@pytest.mark.parametrize("at_once", [2**26, 1])
@pytest.mark.parametrize("fit", [Fit((50, 70), (23, 32)), Fit((20, 12), (32, 19)), Fit((32, 32), (32, 32))])
def test_logits_are_resized_before_the_largest_is_taken(
    fit: Fit, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "AT_ONCE", at_once)
    logits = RNG.standard_normal((5, 8, 8)).astype(np.float32)
    expected = as_mmsegmentation(logits, fit, (32, 32))
    np.testing.assert_array_equal(labels_of(logits, fit, (32, 32)), expected)
    uncropped = as_mmsegmentation(logits, Fit(fit.picture, (32, 32)), (32, 32))
    first = np.kron(logits.argmax(axis=0), np.ones((4, 4), int))
    assert (labels_of(first, fit, (32, 32)) != expected).any(), "the largest before resizing is another"
    assert fit.resized == (32, 32) or (uncropped != expected).any(), "padding makes a difference"


def test_labels_are_those_of_the_nearest_pixel() -> None:
    labels = RNG.integers(0, 9, (8, 8))
    found = labels_of(labels, Fit((12, 16), (6, 8)), (8, 8))
    np.testing.assert_array_equal(found, labels[:6].repeat(2, axis=0).repeat(2, axis=1))
    half = labels_of(labels, Fit((3, 4), (6, 8)), (8, 8))
    np.testing.assert_array_equal(half, labels[1:6:2, 1::2])  # its centre lies between pixels, and the next one counts


def test_what_no_logit_decides_is_no_class() -> None:
    logits = np.full((3, 8, 8), np.nan, np.float32)
    assert (labels_of(logits, Fit((8, 8), (8, 8)), (8, 8)) == -1).all()


def test_label_maps_without_a_label_say_nothing(tmp_path: Path) -> None:
    mask = np.full((32, 32), IGNORED, np.uint8)
    folders = (
        write_pictures(tmp_path / "images", [np.zeros((32, 32, 3), np.uint8)]),
        write_masks(tmp_path / "m", [mask]),
    )
    evaluation = SegmentEvaluation(read_masked(*folders, (3, 32, 32), CARD, NAMES))
    with pytest.raises(MvdError, match="no pixel of the label maps has a class") as caught:
        evaluation.run(Colours(), 2, lambda _line: None)
    assert "--reduce-zero-label" in str(caught.value.hint)


class Colours:
    """Says the class of a pixel by its first channel, turned by some."""

    name = "colours"
    settings: Mapping[str, str] = {}

    def __init__(self, turn: int = 0) -> None:
        self.turn = turn

    def run(self, batch: Array) -> list[Any]:
        assert len(batch) == 2, "full batches only"
        pixels = np.rint(255 * (batch[:, 0] * CARD.std[0] + CARD.mean[0]))
        return [((pixels / 60).astype(np.int32) + self.turn) % 4]


def masked(path: Path) -> MaskedImages:
    """Three images of squares that say their class, with label maps."""
    masks = [RNG.integers(0, 4, (4, 4)).astype(np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(3)]
    images = [np.stack([60 * mask + 30] * 3, axis=-1).astype(np.uint8) for mask in masks]
    return read_masked(
        write_pictures(path / "images", images), write_masks(path / "masks", masks), (3, 32, 32), CARD, NAMES
    )


def measure(given: MaskedImages, artifact: Colours) -> SegmentAccuracy:
    evaluation = SegmentEvaluation(given)
    found = (evaluation.run(runner, 2, lambda _line: None) for runner in (Colours(), artifact))
    return evaluation.compare(*found)


def test_both_sides(tmp_path: Path) -> None:
    given = masked(tmp_path)
    same = measure(given, Colours())
    assert (same.images, same.classes, same.reference, same.artifact) == (3, NAMES, 1, 1)
    assert sum(same.pixels) == 3 * 32 * 32
    turned = measure(given, Colours(1))
    assert (turned.reference, turned.artifact) == (1, 0)
    assert turned.after.pixel_accuracy == 0


def test_images_of_another_size_are_compared_in_their_own(tmp_path: Path) -> None:
    assert pictures(1, 4, 6)[0].shape == (4, 6, 3)
    masks = [np.array([[0, 3], [2, 1]], np.uint8).repeat(48, 0).repeat(24, 1)]  # 96 x 48, resized to 32 x 16
    images = [np.stack([60 * mask + 30] * 3, axis=-1).astype(np.uint8) for mask in masks]
    folders = write_pictures(tmp_path / "images", images), write_masks(tmp_path / "masks", masks)
    found = measure(read_masked(*folders, (3, 32, 32), CARD, NAMES), Colours())
    assert sum(found.pixels) == 96 * 48
    assert 0.9 < found.reference < 1  # the resized image's edges are between two colours
