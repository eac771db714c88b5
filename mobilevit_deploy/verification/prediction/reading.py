"""From an artifact's outputs for one picture to what a person would call the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images.masks import Labels
from mobilevit_deploy.images.preparation import Fit
from mobilevit_deploy.pipeline.provenance import HeadNote, Provenance
from mobilevit_deploy.runners.base import Array, Values
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.verification.accuracy.detection import Detections, chosen_by, counted, in_picture
from mobilevit_deploy.verification.accuracy.segmentation import labels_of

WITH_BOXES = ("detect", "instances")
PICTURES_ARE_FOR = "mvd predict reads class scores (1xN), label maps, and boxes with scores"


@dataclass(frozen=True)
class Ranking:
    """The likeliest classes of a picture, the best first; ``probabilities`` are those of all classes, (N,)."""

    classes: tuple[int, ...]
    probabilities: Values


Found = Ranking | Labels | Detections  # of one picture; a label map, (H, W), has the picture's own size
Reading = Callable[[Sequence[Array], Fit], Found]  # of the outputs for one picture, without the batch's axis


def reading_of(file: FileDescription, noted: Provenance, top: int) -> Reading:
    """Returns how the outputs of an artifact are read.

    Args:
        file: the artifact, with its channels first.
        noted: what it says of its export.
        top: how many classes are named.

    Raises:
        ArtifactError: it returns neither classes nor anything that a head decides.
    """
    if noted.head and noted.task == "segment":
        size = file.entries[0].shape[2:]
        return lambda outputs, fit: labels_of(outputs[0], fit, size)
    if noted.head and noted.task in WITH_BOXES and noted.head.output in ("nms", "boxes"):
        return _detections(file, noted.head)
    shapes = [output.shape for output in file.outputs]
    if noted.task != "classify" or len(shapes) != 1 or len(shapes[0]) != 2:
        shown = ", ".join("x".join(map(str, shape)) for shape in shapes[:8])
        advice = "export it with --output nms" if noted.task in WITH_BOXES else PICTURES_ARE_FOR
        raise ArtifactError(f"{file.path.name} returns {shown}, which is no answer that can be shown", advice)
    ready = file.probabilities or noted.own_probabilities
    return lambda outputs, _fit: rank(outputs[0], top, probabilities=ready)


def rank(scores: Array, top: int, *, probabilities: bool) -> Ranking:
    """Returns the likeliest classes by scores (N,), which are logits unless they are probabilities already.

    Raises:
        ArtifactError: the scores are not finite.
    """
    values = scores.astype(np.float64)
    if not np.isfinite(values).all():
        raise ArtifactError(
            "the class scores of this picture are infinite or NaN",
            "mvd verify says whether the file computes what PyTorch computes",
        )
    shares = values if probabilities else softmax(values)
    order = np.argsort(-shares, kind="stable")[:top]
    return Ranking(tuple(map(int, order)), shares)


def _detections(file: FileDescription, head: HeadNote) -> Reading:
    """Returns how boxes are read; of a file with all of them, by its head's rule, as an app would do it."""
    size = file.entries[0].shape[2:]
    if head.output == "nms":
        return lambda outputs, fit: in_picture(counted(outputs), fit)
    own = head.declaration.suppression if head.declaration else catalog.heads()["detect"].suppression
    noted = head.suppression or own
    assert noted is not None  # of a detector, by its card
    # Candidates of all levels together: which level a box is of, only the model's code knows.
    settings = noted.model_dump() | {"candidates_of": "image", "strides": (), "anchors": 1}
    rule = Suppression.model_validate(settings)
    return lambda outputs, fit: in_picture(chosen_by(outputs, rule, size), fit)
