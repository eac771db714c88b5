"""Detectors' pipelines as small as they can be: what is given goes into the suppression, or a tiny network finds it."""

from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.graph.candidates import CONFIDENCE, COORDINATES
from mobilevit_deploy.targets.coreml.detector import Detector, write_detector
from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray
from tests.targets.coreml.mil.packages import build, save

LABELS = ("cat", "dog")
BOXES, CLASSES = 6, len(LABELS)
DETECTOR = Detector(LABELS, iou_threshold=0.5, confidence_threshold=0.25, max_detections=4)


def passing(x: Any) -> Any:
    """Splits what is given, (1, 1, BOXES, 4 + CLASSES), into coordinates and confidence."""
    from coremltools.converters.mil.mil import Builder

    given = Builder.squeeze(x=x, axes=[0, 1])
    coordinates = Builder.slice_by_size(x=given, begin=[0, 0], size=[BOXES, 4])
    confidence = Builder.slice_by_size(x=given, begin=[0, 4], size=[BOXES, CLASSES])
    nothing = np.float32(0)
    return Builder.add(x=coordinates, y=nothing, name=COORDINATES), Builder.add(
        x=confidence, y=nothing, name=CONFIDENCE
    )


def passing_pipeline(folder: Path, detector: Detector = DETECTOR) -> Path:
    """Writes a pipeline whose suppression is given what its network is given."""
    path = save(build(passing, (1, 1, BOXES, 4 + CLASSES), 16), folder)
    write_detector(path, detector)
    return path


def rows(coordinates: AnyArray, confidence: AnyArray) -> AnyArray:
    """Returns what such a pipeline is given."""
    return np.concatenate((coordinates, confidence), axis=1).astype(np.float32)[None, None]
