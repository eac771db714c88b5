"""Of classifiers: their classes beside PyTorch's, and beside the labels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.batches import NO_CLASS, Classes
from mobilevit_deploy.images.user_images import ImageSet
from mobilevit_deploy.runners.base import Runner
from mobilevit_deploy.verification.accuracy.evaluation import Evaluation, Progress, run_all


@dataclass(frozen=True)
class ClassAccuracy:
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

    metric: ClassVar[str] = "top-1"

    @property
    def reference(self) -> float | None:
        """Returns the share of right classes; None without labels."""
        return None if self.reference_correct is None else self.reference_correct / self.images

    @property
    def artifact(self) -> float | None:
        """Returns the same of the artifact."""
        return None if self.artifact_correct is None else self.artifact_correct / self.images


@dataclass(frozen=True)
class ClassEvaluation(Evaluation[Classes, ClassAccuracy]):
    """Images with or without labels, for a model whose first output is (B, classes)."""

    given: ImageSet

    def run(self, runner: Runner, batch: int, progress: Progress) -> Classes:
        return classify(runner, self.given, batch, progress)

    def compare(self, reference: Classes, artifact: Classes) -> ClassAccuracy:
        same = int(((reference == artifact) & (artifact != NO_CLASS)).sum())
        labels = self.given.labels
        if labels is None:
            return ClassAccuracy(len(artifact), same)
        return ClassAccuracy(len(artifact), same, int((reference == labels).sum()), int((artifact == labels).sum()))


def classify(runner: Runner, given: ImageSet, batch: int, progress: Progress = lambda _line: None) -> Classes:
    """Returns the class of each image, (N,).

    Raises:
        MvdError: a label that the runner's output does not have.
    """
    found: list[Classes] = []
    for _, size, (scores, *_) in run_all(runner, given.images, batch, progress):
        if given.labels is not None and given.labels.max() >= scores.shape[1]:
            raise MvdError(
                f"an image has the label {given.labels.max()}, the model {scores.shape[1]} classes",
                "labels begin at 0",
            )
        found.append(np.where(np.isfinite(scores).all(axis=1), scores.argmax(axis=1), NO_CLASS)[:size])
    return np.concatenate(found)
