"""Accuracies as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy
from mobilevit_deploy.verification.accuracy.detection import DetectAccuracy
from mobilevit_deploy.verification.accuracy.segmentation import SegmentAccuracy

if TYPE_CHECKING:
    from mobilevit_deploy.verification.accuracy.measure import Accuracy


def accuracy_document(accuracy: Accuracy | None) -> dict[str, Any] | None:
    """Returns what all kinds of accuracy have, and what one has alone; None where no images were given."""
    if accuracy is None:
        return None
    common = {
        "images": accuracy.images,
        "metric": accuracy.metric,
        "reference": accuracy.reference,
        "artifact": accuracy.artifact,
    }
    return common | _own(accuracy)


@singledispatch
def _own(accuracy: Accuracy) -> dict[str, Any]:
    raise TypeError(type(accuracy))


@_own.register
def _of_classes(accuracy: ClassAccuracy) -> dict[str, Any]:
    return vars(accuracy)


@_own.register
def _of_segments(accuracy: SegmentAccuracy) -> dict[str, Any]:
    before, after = accuracy.before, accuracy.after
    return {
        "pixel_accuracy": {"reference": before.pixel_accuracy, "artifact": after.pixel_accuracy},
        "classes": _classes(accuracy.classes, "pixels", accuracy.pixels, before.ious, after.ious),
    }


@_own.register
def _of_boxes(accuracy: DetectAccuracy) -> dict[str, Any]:
    before, after = accuracy.before, accuracy.after
    masks = None
    if before.masks and after.masks:
        masks = {
            "ap": {"reference": before.masks.ap, "artifact": after.masks.ap},
            "ap50": {"reference": before.masks.ap50, "artifact": after.masks.ap50},
            "classes": _classes(accuracy.classes, "boxes", accuracy.boxes, before.masks.aps, after.masks.aps),
        }
    return {
        "masks": masks,
        "ap50": {"reference": before.ap50, "artifact": after.ap50},
        "classes": _classes(accuracy.classes, "boxes", accuracy.boxes, before.aps, after.aps),
    }


def _classes(
    names: Sequence[str],
    counted: str,
    counts: Sequence[int],
    before: Sequence[float | None],
    after: Sequence[float | None],
) -> list[dict[str, Any]]:
    columns = zip(names, counts, before, after, strict=True)
    return [
        {"name": name, counted: count, "reference": first, "artifact": second} for name, count, first, second in columns
    ]
