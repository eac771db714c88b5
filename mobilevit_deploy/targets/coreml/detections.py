"""Detections as Core ML's non-maximum suppression leaves them, in the form that PyTorch and other targets return."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mobilevit_deploy.architectures.operations.suppression import NO_CLASS
from mobilevit_deploy.catalog.tensor_input import AXES_OF_IMAGE
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.runners.base import Array, Runner
from mobilevit_deploy.targets.artifact import image_of
from mobilevit_deploy.targets.coreml.detector import CONFIDENCE_OUTPUT, COORDINATES_OUTPUT
from mobilevit_deploy.targets.coreml.mil.features import Feature


class PackageRunner(Runner, Protocol):
    """What runs a package, and knows what it takes and returns."""

    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]


class DetectionRunner:
    """A detector's package whose detections are boxes in pixels, scores, labels and their count."""

    def __init__(self, runner: PackageRunner) -> None:
        """Takes an opened package; raises ArtifactError for one without an image."""
        self.name, self.settings = runner.name, runner.settings
        self._runner = runner
        self._names = [feature.name for feature in runner.outputs]
        image = image_of([TensorSpec(feature.name, feature.shape) for feature in runner.inputs], "the detector")
        if len(image.shape) != AXES_OF_IMAGE:
            raise ArtifactError(f"the detector takes an input of shape {list(image.shape)}, which is no image")
        _, _, self._height, self._width = image.shape
        self._most = runner.outputs[0].shape[0]

    def run(self, batch: Array) -> Sequence[Array]:
        left = dict(zip(self._names, self._runner.run(batch), strict=True))
        coordinates, confidence = left[COORDINATES_OUTPUT], left[CONFIDENCE_OUTPUT]
        return from_centre_form(coordinates, confidence, self._height, self._width, self._most)


def in_pixels(runner: PackageRunner) -> Runner:
    """Returns a runner whose detections, if that is what it returns, have the form of the other targets'."""
    detects = {feature.name for feature in runner.outputs} == {COORDINATES_OUTPUT, CONFIDENCE_OUTPUT}
    return DetectionRunner(runner) if detects else runner


def from_centre_form(
    coordinates: Array, confidence: Array, height: int, width: int, max_detections: int
) -> Sequence[Array]:
    """Returns boxes (1, K, 4), x1, y1, x2, y2 in pixels, scores (1, K), labels (1, K) and their count (1,).

    The best one comes first; places that no detection fills are 0, with the label ``NO_CLASS``. Rows that are sure of
    nothing, with which Core ML fills up an array, are no detections.

    Args:
        coordinates: (n, 4), x and y of the centre, width and height, as shares of the image's.
        confidence: (n, columns); a box has the label of its largest one.
        height: of the image, in pixels.
        width: likewise.
        max_detections: K; of more than that the best ones are taken.
    """
    scores = confidence.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0][:max_detections]
    centre, half = coordinates[order, :2], coordinates[order, 2:] / 2
    boxes = np.concatenate((centre - half, centre + half), axis=1) * np.array([width, height] * 2)
    count = len(order)
    filled_boxes = np.zeros((1, max_detections, 4), dtype=np.float32)
    filled_scores = np.zeros((1, max_detections), dtype=np.float32)
    labels = np.full((1, max_detections), NO_CLASS, dtype=np.float32)
    filled_boxes[0, :count] = boxes
    filled_scores[0, :count] = scores[order]
    labels[0, :count] = confidence[order].argmax(axis=1)
    return filled_boxes, filled_scores, labels, np.array([count], dtype=np.float32)
