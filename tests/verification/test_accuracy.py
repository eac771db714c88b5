"""Classes of the user's images: counted right, in batches that do not divide, and refused where labels cannot be."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.images.user_images import ImageSet
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.verification.accuracy import Accuracy, classify, measure_accuracy


class Brightness:
    """Says class 0, 1 or 2 by an image's first pixel, turned by some."""

    name = "brightness"
    settings: Mapping[str, str] = {}

    def __init__(self, turn: int, batch: int) -> None:
        self.turn, self.batch = turn, batch

    def run(self, batch: Array) -> list[Any]:
        assert len(batch) == self.batch, "an artifact takes full batches only"
        return [np.eye(3, dtype=np.float32)[(batch[:, 0, 0, 0].astype(int) + self.turn) % 3]]


def image_set(*classes: int, labels: list[int] | None = None) -> ImageSet:
    images = np.zeros((len(classes), 1, 2, 2), np.float32)
    images[:, 0, 0, 0] = classes
    return ImageSet(images, None if labels is None else np.array(labels))


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_counts(batch: int) -> None:
    images = image_set(0, 1, 2, 2, 1, labels=[0, 1, 2, 0, 0])
    same = measure_accuracy(classify(Brightness(0, batch), images, batch), Brightness(0, batch), images, batch)
    assert same == Accuracy(5, 5, 3, 3)
    turned = measure_accuracy(classify(Brightness(0, batch), images, batch), Brightness(1, batch), images, batch)
    assert turned == Accuracy(5, 0, 3, 1)
    plain = image_set(0, 1)
    unlabelled = measure_accuracy(classify(Brightness(0, batch), plain, batch), Brightness(1, batch), plain, batch)
    assert unlabelled == Accuracy(2, 0, None, None)


def test_scores_that_are_not_finite_are_no_class() -> None:
    class Broken(Brightness):
        def run(self, batch: Array) -> list[Any]:
            return [np.full((len(batch), 3), np.nan, np.float32)]

    images = image_set(0, 0, labels=[0, 0])
    found = measure_accuracy(classify(Brightness(0, 1), images, 1), Broken(0, 1), images, 1)
    assert found == Accuracy(2, 0, 2, 0)


def test_a_label_that_the_model_does_not_have() -> None:
    with pytest.raises(MvdError, match="label 3, the model 3 classes"):
        classify(Brightness(0, 1), image_set(0, 1, labels=[0, 3]), 1)


def test_the_filling_of_the_last_batch_is_not_counted() -> None:
    parts = list(batches(np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1), 2))
    assert [(part.ravel().tolist(), count) for part, count in parts] == [([0, 1], 2), ([2, 3], 2), ([4, 4], 1)]
