"""What a user's own images say of an artifact: its classes beside PyTorch's, and beside the labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.batches import NO_CLASS, Classes, batches
from mobilevit_deploy.images.user_images import ImageSet
from mobilevit_deploy.runners.base import Runner

Progress = Callable[[str], None]

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
    reference: Classes, artifact: Runner, images: ImageSet, batch: int, progress: Progress = lambda _line: None
) -> Accuracy:
    """Runs all images through an artifact, whose first output is (B, classes).

    Args:
        reference: PyTorch's class of each image, (N,), from ``classify``.
        artifact: an opened file.
        images: with or without labels.
        batch: of the artifact.
        progress: called with a line of text now and then.
    """
    found = classify(artifact, images, batch, progress)
    same = int(((reference == found) & (found != NO_CLASS)).sum())
    if images.labels is None:
        return Accuracy(len(found), same)
    return Accuracy(len(found), same, int((reference == images.labels).sum()), int((found == images.labels).sum()))


def classify(runner: Runner, images: ImageSet, batch: int, progress: Progress = lambda _line: None) -> Classes:
    """Returns the class of each image, (N,).

    Raises:
        MvdError: a label that the runner's output does not have.
    """
    found: list[Classes] = []
    done = 0
    for part, size in batches(images.images, batch):
        if done // CHUNK != (done - batch) // CHUNK:
            progress(f"{runner.name}: {done} of {len(images.images)} images")
        scores = runner.run(part)[0]
        if images.labels is not None and images.labels.max() >= scores.shape[1]:
            raise MvdError(
                f"an image has the label {images.labels.max()}, the model {scores.shape[1]} classes",
                "labels begin at 0",
            )
        found.append(np.where(np.isfinite(scores).all(axis=1), scores.argmax(axis=1), NO_CLASS)[:size])
        done += size
    return np.concatenate(found)
