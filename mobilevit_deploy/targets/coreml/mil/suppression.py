"""Core ML's non-maximum suppression, computed as it is documented.

Source: the comments of ``mlmodel/format/NonMaximumSuppression.proto`` in coremltools 9.0, and its checks in
``mlmodel/src/Validation/NonMaximumSuppressionValidator.cpp``. What they say, and is done here:

- boxes whose confidence "falls below" the threshold are discarded first;
- the box of top confidence is kept, those within a radius of it by intersection over union are discarded, and so on;
- ``pickTop.perClass`` discards only what has the same label, "argmax of the confidence"; a box has one label;
- an IoU threshold of 1 discards nothing, though equal boxes have an IoU of 1: so what is above the threshold goes (the
  comment beside the field, "within the radius if less than this value", contradicts the definition above it);
- outputs are the rows that are left; a described lower bound of rows is filled up with zeros, an upper one limits them.

What they leave open, and is decided here: that a box's confidence is the largest of its classes; that equal confidences
keep their order, and equal classes take the first label; that rows come best first, and a limit takes the best; that
boxes without area overlap nothing. A comparison must not depend on these: detections are matched by label and overlap.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.architectures.operations.suppression import overlaps
from mobilevit_deploy.errors import ArtifactError

LARGEST_COUNT = 2**18  # boxes; a detector of 1024 px has some 200,000 before it chooses among them

Numbers = npt.NDArray[np.floating[Any]]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suppression:
    """What a ``NonMaximumSuppression`` model does.

    Attributes:
        confidence: name of its input (N, classes).
        coordinates: name of its input (N, 4), relative to the image: x and y of the centre, width, height.
        confidence_output: name of what is left of the confidence.
        coordinates_output: name of what is left of the coordinates.
        iou_threshold: from 0 to 1, by default.
        confidence_threshold: at least 0, by default.
        iou_input: name of an input that sets another threshold; None where it is fixed.
        confidence_input: likewise.
        per_class: whether boxes of different labels leave one another alone.
        labels: of the classes, in order; empty where the package names none.
        fewest: rows that are returned at least, filled up with zeros.
        most: rows that are returned at most; None for no limit.
    """

    confidence: str
    coordinates: str
    confidence_output: str
    coordinates_output: str
    iou_threshold: float
    confidence_threshold: float
    iou_input: str | None = None
    confidence_input: str | None = None
    per_class: bool = False
    labels: tuple[str | int, ...] = ()
    fewest: int = 0
    most: int | None = None

    def thresholds(self) -> dict[str, float]:
        """Returns the default of each threshold that an app may set, by the name of its input."""
        named = ((self.iou_input, self.iou_threshold), (self.confidence_input, self.confidence_threshold))
        return {name: value for name, value in named if name is not None}

    def run(
        self, coordinates: Numbers, confidence: Numbers, iou_threshold: float, confidence_threshold: float
    ) -> tuple[Numbers, Numbers]:
        """Returns what is left of the coordinates (n, 4) and of the confidence (n, classes), the best box first.

        Args:
            coordinates: (N, 4).
            confidence: (N, classes).
            iou_threshold: from 0 to 1.
            confidence_threshold: at least 0.

        Raises:
            ArtifactError: arrays of other shapes, more boxes than a detector has, or a threshold out of its range.
        """
        check_thresholds(iou_threshold, confidence_threshold)
        _check_shapes(coordinates, confidence)
        kept = choose(coordinates, confidence, iou_threshold, confidence_threshold, self.per_class, self.most)
        missing = ((0, max(0, self.fewest - len(kept))), (0, 0))
        return np.pad(coordinates[kept], missing), np.pad(confidence[kept], missing)


def check_thresholds(iou_threshold: float, confidence_threshold: float) -> None:
    """Raises ArtifactError for a threshold that Core ML's own check refuses."""
    if not 0 <= iou_threshold <= 1:  # also of what is no number
        raise ArtifactError(f"an IoU threshold of {iou_threshold:g}", "it is a share, from 0 to 1")
    if not 0 <= confidence_threshold < float("inf"):
        raise ArtifactError(f"a confidence threshold of {confidence_threshold:g}", "it is at least 0")


def _check_shapes(coordinates: Numbers, confidence: Numbers) -> None:
    shapes = f"{list(coordinates.shape)} and {list(confidence.shape)}"
    if coordinates.ndim != 2 or coordinates.shape[1] != 4 or confidence.ndim != 2 or not confidence.shape[1]:
        raise ArtifactError(f"the suppression takes coordinates (N, 4) and confidence (N, classes), not {shapes}")
    if len(coordinates) != len(confidence):
        raise ArtifactError(f"the suppression is given another number of coordinates than of confidences: {shapes}")
    if len(coordinates) > LARGEST_COUNT:
        raise ArtifactError(f"the suppression is given {len(coordinates):,} boxes, more than any detector has")


def choose(
    coordinates: Numbers,
    confidence: Numbers,
    iou_threshold: float,
    confidence_threshold: float,
    per_class: bool,
    most: int | None,
) -> Places:
    """Returns which rows are left, the best first; see ``Suppression.run``."""
    best, label = confidence.max(axis=1).astype(np.float64), confidence.argmax(axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] >= confidence_threshold]
    corners = _corners(coordinates.astype(np.float64))
    kept: list[np.int64] = []
    while len(order) and (most is None or len(kept) < most):
        top, order = order[0], order[1:]
        kept.append(top)
        near = overlaps(corners[top], corners[order]) > iou_threshold
        if per_class:
            near &= label[order] == label[top]
        order = order[~near]
    return np.array(kept, dtype=np.int64)


def _corners(coordinates: Numbers) -> Numbers:
    centre, half = coordinates[:, :2], coordinates[:, 2:] / 2
    with np.errstate(invalid="ignore"):  # of infinite boxes, which overlap nothing
        return np.concatenate((centre - half, centre + half), axis=1)
