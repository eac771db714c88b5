"""What a user's own images say of several artifacts: right classes, and classes that differ from the base's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images.batches import NO_CLASS, Classes
from mobilevit_deploy.images.user_images import ImageSet, read_images
from mobilevit_deploy.measurement.comparison.subject import Subject
from mobilevit_deploy.runners.base import Array, Values
from mobilevit_deploy.verification.accuracy.classification import classify

Progress = Callable[[str], None]


@dataclass(frozen=True)
class OwnImages:
    """A user's images, at most ``largest_count`` of them, and how they are normalised, per channel."""

    path: Path
    largest_count: int | None
    mean: Sequence[float]
    std: Sequence[float]


@dataclass(frozen=True)
class Counted:
    """One artifact on a user's images.

    Attributes:
        images: how many.
        correct: to which it gives the labelled class; None where there are no labels.
        agreeing: to which it gives the base's class.
        reason: why there is nothing to count.
    """

    images: int = 0
    correct: int | None = None
    agreeing: int | None = None
    reason: str | None = None


class _Fed:
    """An artifact that is fed with normalised images, whatever it takes itself."""

    def __init__(self, subject: Subject, images: OwnImages) -> None:
        self._subject, self._images, self._runner = subject, images, subject.open()
        self.name, self.settings = subject.path.name, self._runner.settings

    def run(self, batch: Array) -> Sequence[Array]:
        count = batch.shape[1]
        mean, std = (np.resize(values, count).reshape(-1, 1, 1) for values in (self._images.mean, self._images.std))
        pixels: Values = 255 * (batch.astype(np.float64) * std + mean)
        scores, *rest = self._runner.run(self._subject.feed(pixels, self._images.mean, self._images.std))
        if np.ndim(scores) != 2 or len(scores) != len(batch):
            raise ArtifactError("its first output is no row of scores for each image")
        return [scores, *rest]


def count_classes(subjects: Sequence[Subject], images: OwnImages, progress: Progress) -> list[Counted]:
    """Returns what every artifact says of the images, the base first.

    Raises:
        MvdError: the images cannot be read, or have labels that an artifact has no class for.
    """
    preparation = Preprocessing(
        mean=_three(images.mean), std=_three(images.std), interpolation="bicubic", description="as given"
    )

    @cache
    def read(shape: tuple[int, int, int]) -> ImageSet:
        return read_images(images.path, shape, preparation, images.largest_count)

    base: Classes | None = None
    counted = []
    for subject in subjects:
        if subject.no_image:
            counted.append(Counted(reason=subject.no_image))
            continue
        found = read(subject.image_shape)
        try:
            classes = classify(_Fed(subject, images), found, subject.shape[0], progress)
        except ArtifactError as error:
            counted.append(Counted(reason=error.message))
            continue
        base = classes if not counted else base
        same = None if base is None else int(((base == classes) & (classes != NO_CLASS)).sum())
        correct = None if found.labels is None else int((found.labels == classes).sum())
        counted.append(Counted(len(classes), correct, same))
    return counted


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in np.resize(values, 3))
    return first, second, third
