"""What a user's own images say of an artifact: its classes beside PyTorch's, and beside the labels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images import ImageSet
from mobilevit_deploy.runners import Array, Runner

Classes = npt.NDArray[np.int64]
Progress = Callable[[str], None]

NO_CLASS = -1  # of scores that are not finite: argmax would call the first one of them a class
CHUNK = 50  # images between two lines of progress


@dataclass(frozen=True)
class Accuracy:
    """Counts over a user's images; those of right classes are None where there are no labels.

    Attributes:
        images: how many.
        agreeing: to which PyTorch and the artifact give the same class.
        reference_correct: to which PyTorch gives the labelled class.
        artifact_correct: to which the artifact does.
    """

    images: int
    agreeing: int
    reference_correct: int | None = None
    artifact_correct: int | None = None


def measure_accuracy(
    reference: Runner, artifact: Runner, images: ImageSet, batch: int, progress: Progress = lambda _line: None
) -> Accuracy:
    """Runs all images through both; the first output of either is (B, classes).

    Args:
        reference: PyTorch.
        artifact: an opened file.
        images: with or without labels.
        batch: of the artifact.
        progress: called with a line of text now and then.

    Raises:
        MvdError: a label that the model does not have.
    """
    before, count = _classes(reference, images.images, batch, progress)
    if images.labels is not None and images.labels.max() >= count:
        raise MvdError(f"an image has the label {images.labels.max()}, the model {count} classes", "labels begin at 0")
    after, _ = _classes(artifact, images.images, batch, progress)
    same = int(((before == after) & (after != NO_CLASS)).sum())
    if images.labels is None:
        return Accuracy(len(before), same)
    return Accuracy(len(before), same, int((before == images.labels).sum()), int((after == images.labels).sum()))


def _classes(runner: Runner, images: Array, batch: int, progress: Progress) -> tuple[Classes, int]:
    """Returns the class of each image, (N,), and how many classes there are."""
    found: list[Classes] = []
    count = done = 0
    for part, size in batches(images, batch):
        if done // CHUNK != (done - batch) // CHUNK:
            progress(f"{runner.name}: {done} of {len(images)} images")
        scores = runner.run(part)[0]
        classes = np.where(np.isfinite(scores).all(axis=1), scores.argmax(axis=1), NO_CLASS)
        found.append(classes[:size])
        count, done = scores.shape[1], done + size
    return np.concatenate(found), count


def batches(images: Array, batch: int) -> Iterator[tuple[Array, int]]:
    """Yields the images in batches, (B, C, H, W), the last one filled up, and how many in each are not filling."""
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        filling = np.repeat(part[-1:], batch - len(part), axis=0)
        yield np.concatenate([part, filling]), len(part)
