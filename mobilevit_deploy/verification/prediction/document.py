"""Predictions as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mobilevit_deploy.system.json_text import SCHEMA
from mobilevit_deploy.verification.accuracy.detection import Detections
from mobilevit_deploy.verification.prediction.reading import Found, Ranking

if TYPE_CHECKING:
    from mobilevit_deploy.verification.prediction.predict import PredictReport


def predict_document(report: PredictReport, drawn: Mapping[Path, Path]) -> dict[str, Any]:
    """Returns what was found in every picture.

    Args:
        report: of ``predict``.
        drawn: the picture that was written for each image, where one was.
    """
    return {
        "schema": SCHEMA,
        "artifact": str(report.artifact),
        "target": report.target,
        "runner": report.runner,
        "trained": report.trained,
        "predictions": [
            {
                "image": str(item.image),
                "found": _found(report, item.found),
                "reference": None if item.reference is None else _found(report, item.reference),
                "drawn": str(drawn[item.image]) if item.image in drawn else None,
            }
            for item in report.predictions
        ],
        "warnings": list(report.warnings),
    }


def _found(report: PredictReport, found: Found) -> list[dict[str, Any]]:
    """Returns classes with their probability, or the share of the pixels, or detections, the best or most first."""
    if isinstance(found, Ranking):
        return [_class(report, label, probability=float(found.probabilities[label])) for label in found.classes]
    if isinstance(found, Detections):
        return [
            _class(report, int(label), score=float(score), box=[float(side) for side in box])
            for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        ]
    return [_class(report, label, share=share) for label, share in shares_of(found)]


def shares_of(labels: np.ndarray[Any, np.dtype[np.int64]]) -> list[tuple[int, float]]:
    """Returns the classes of a label map, (H, W), each with its share of the pixels, the largest first."""
    found, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(found[i]), float(counts[i] / labels.size)) for i in order]


def _class(report: PredictReport, label: int, **values: object) -> dict[str, Any]:
    return {"label": label, "name": report.name(label), **values}
