"""Classes of the user's images: counted right, in batches that do not divide, and refused where labels cannot be."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.batches import batches
from mobilevit_deploy.images.user_images import ImageSet
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy, ClassEvaluation, classify


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


def measure(images: ImageSet, artifact: Brightness, batch: int) -> ClassAccuracy:
    evaluation = ClassEvaluation(images)
    found = (evaluation.run(runner, batch, lambda _line: None) for runner in (Brightness(0, batch), artifact))
    return evaluation.compare(*found)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_counts(batch: int) -> None:
    images = image_set(0, 1, 2, 2, 1, labels=[0, 1, 2, 0, 0])
    same = measure(images, Brightness(0, batch), batch)
    assert same == ClassAccuracy(5, 5, 3, 3)
    assert (same.reference, same.artifact) == (0.6, 0.6)
    turned = measure(images, Brightness(1, batch), batch)
    assert turned == ClassAccuracy(5, 0, 3, 1)
    assert (turned.reference, turned.artifact) == (0.6, 0.2)
    unlabelled = measure(image_set(0, 1), Brightness(1, batch), batch)
    assert unlabelled == ClassAccuracy(2, 0, None, None)
    assert unlabelled.reference is unlabelled.artifact is None


def test_scores_that_are_not_finite_are_no_class() -> None:
    class Broken(Brightness):
        def run(self, batch: Array) -> list[Any]:
            return [np.full((len(batch), 3), np.nan, np.float32)]

    images = image_set(0, 0, labels=[0, 0])
    assert measure(images, Broken(0, 1), 1) == ClassAccuracy(2, 0, 2, 0)


def test_a_label_that_the_model_does_not_have() -> None:
    with pytest.raises(MvdError, match="label 3, the model 3 classes"):
        classify(Brightness(0, 1), image_set(0, 1, labels=[0, 3]), 1)


def test_the_filling_of_the_last_batch_is_not_counted() -> None:
    parts = list(batches(np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1), 2))
    assert [(part.ravel().tolist(), count) for part, count in parts] == [([0, 1], 2), ([2, 3], 2), ([4, 4], 1)]
