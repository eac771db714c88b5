"""From images and a model to what an artifact is worth, whatever the model is for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images.boxes import BoxedImages
from mobilevit_deploy.images.masks import MaskedImages
from mobilevit_deploy.images.user_images import ImageSet
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.loading.model_head import ModelHead
from mobilevit_deploy.pipeline.given_images import GivenImages
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.runners.base import NotMeasured, Opener
from mobilevit_deploy.runners.reference import TorchRunner
from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy, ClassEvaluation
from mobilevit_deploy.verification.accuracy.detection import DetectAccuracy, DetectEvaluation
from mobilevit_deploy.verification.accuracy.evaluation import Evaluation, Progress
from mobilevit_deploy.verification.accuracy.segmentation import SegmentAccuracy, SegmentEvaluation

Accuracy = ClassAccuracy | SegmentAccuracy | DetectAccuracy


def _of_boxes(given: BoxedImages, head: ModelHead | None) -> DetectEvaluation:
    return DetectEvaluation(given, head.chosen_by if head else None)


EVALUATIONS: Mapping[type, Callable[[Any, ModelHead | None], Evaluation[Any, Accuracy]]] = {
    ImageSet: lambda given, _head: ClassEvaluation(given),
    MaskedImages: lambda given, _head: SegmentEvaluation(given),
    BoxedImages: _of_boxes,
}


@dataclass(frozen=True)
class Baseline:
    """What PyTorch makes of a user's images; run once for all artifacts of a model.

    Attributes:
        evaluation: of the images.
        found: PyTorch's.
        batch: of the model.
    """

    evaluation: Evaluation[Any, Accuracy]
    found: Any
    batch: int

    def measure(self, borders: Borders, openers: Sequence[Opener | NotMeasured], progress: Progress) -> Accuracy | None:
        """Returns what the images say of an artifact; None where no runner here runs it, which parity reports.

        Args:
            borders: of the artifact.
            openers: of the artifact; the first that this machine has is taken.
            progress: called with a line of text now and then.
        """
        for opener in borders.openers(openers):
            if isinstance(opener, NotMeasured):
                continue
            try:
                artifact = self.evaluation.run(opener(), self.batch, progress)
            except ArtifactError:
                return None
            return self.evaluation.compare(self.found, artifact)
        return None


def run_baseline(model: LoadedModel, given: GivenImages, progress: Progress = lambda _line: None) -> Baseline:
    """Runs PyTorch, with what its artifacts decide, on a user's images.

    Raises:
        MvdError: what is known of an image cannot be of this model.
    """
    evaluation, batch = EVALUATIONS[type(given)](given, model.head), model.input_shape[0]
    borders = Borders(decision=model.head.decision if model.head else None)
    found = evaluation.run(borders.reference(TorchRunner(model.module)), batch, progress)
    return Baseline(evaluation, found, batch)
