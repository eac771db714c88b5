"""What a user's own images say of an artifact, as lines for people."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy
from mobilevit_deploy.verification.accuracy.detection import DetectAccuracy
from mobilevit_deploy.verification.accuracy.segmentation import SegmentAccuracy

if TYPE_CHECKING:
    from mobilevit_deploy.verification.accuracy.measure import Accuracy


def accuracy_lines(accuracy: Accuracy | None) -> list[str]:
    """Returns lines; none where no images were given."""
    return [] if accuracy is None else _lines(accuracy)


@singledispatch
def _lines(accuracy: Accuracy) -> list[str]:
    raise TypeError(type(accuracy))


@_lines.register
def _of_classes(accuracy: ClassAccuracy) -> list[str]:
    count = accuracy.images
    lines = [f"on {count} of your images the same class as PyTorch for {accuracy.agreeing}"]
    if accuracy.reference_correct is not None and accuracy.artifact_correct is not None:
        before, after = accuracy.reference_correct, accuracy.artifact_correct
        lines.append(f"top-1 on them: PyTorch {before / count:.1%} ({before}), this file {after / count:.1%} ({after})")
    return lines


@_lines.register
def _of_segments(accuracy: SegmentAccuracy) -> list[str]:
    before, after = accuracy.before, accuracy.after
    return [
        f"mIoU on {accuracy.images} of your images: {_sides(before.mean_iou, after.mean_iou)}",
        f"of their labelled pixels right: {_sides(before.pixel_accuracy, after.pixel_accuracy)}",
    ]


@_lines.register
def _of_boxes(accuracy: DetectAccuracy) -> list[str]:
    before, after = accuracy.before, accuracy.after
    lines = [
        f"AP50:95 on {accuracy.images} of your images: {_sides(before.ap, after.ap)}",
        f"AP50 on them: {_sides(before.ap50, after.ap50)}",
    ]
    if before.masks and after.masks:
        lines.append(f"AP50:95 of their masks: {_sides(before.masks.ap, after.masks.ap)}")
        lines.append(f"AP50 of their masks: {_sides(before.masks.ap50, after.masks.ap50)}")
    return lines


def _sides(before: float, after: float) -> str:
    return f"PyTorch {before:.1%}, this file {after:.1%}"
