"""Of segmenters: intersection over union of the classes, of PyTorch and of a file, as MMSegmentation computes it.

Source: Everingham et al., "The Pascal Visual Object Classes Challenge", section 3.5 (intersection over union, over the
pixels of all images); what is resized, and when, as in ``EncoderDecoder.postprocess_result`` of
https://github.com/open-mmlab/mmsegmentation 1.2.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.images.masks import IGNORED, Labels, MaskedImages
from mobilevit_deploy.images.preparation import Fit
from mobilevit_deploy.runners.base import Array, Runner
from mobilevit_deploy.verification.accuracy.evaluation import Evaluation, Progress, run_all

AT_ONCE = 2**26  # numbers of logits that are resized together; those of a photograph with 150 classes take gigabytes

Confusion = npt.NDArray[np.int64]  # [labelled class, found class]; the last column is of what is no class


@dataclass(frozen=True)
class SegmentScores:
    """Of one side; a share of 1 each.

    Attributes:
        mean_iou: of the classes that are labelled or found anywhere.
        pixel_accuracy: of the labelled pixels.
        ious: of each class; None of one that is nowhere.
    """

    mean_iou: float
    pixel_accuracy: float
    ious: tuple[float | None, ...]


@dataclass(frozen=True)
class SegmentAccuracy:
    """PyTorch's and an artifact's scores.

    Attributes:
        images: how many.
        classes: their names.
        pixels: how many are labelled of each class.
        before: PyTorch's.
        after: the artifact's.
    """

    images: int
    classes: tuple[str, ...]
    pixels: tuple[int, ...]
    before: SegmentScores
    after: SegmentScores

    metric: ClassVar[str] = "mIoU"

    @property
    def reference(self) -> float:
        """Returns PyTorch's mean intersection over union."""
        return self.before.mean_iou

    @property
    def artifact(self) -> float:
        """Returns the artifact's."""
        return self.after.mean_iou


@dataclass(frozen=True)
class SegmentEvaluation(Evaluation[Confusion, SegmentAccuracy]):
    """Images with label maps, for a model whose first output is a label map (B, H, W) or logits (B, classes, h, w)."""

    given: MaskedImages

    def run(self, runner: Runner, batch: int, progress: Progress) -> Confusion:
        count, images = len(self.given.classes), self.given.images
        total = np.zeros((count, count + 1), dtype=np.int64)
        for first, size, (output, *_) in run_all(runner, images, batch, progress):
            for i in range(size):
                labels = self.given.mask(first + i)
                total += confusion(labels, labels_of(output[i], images.fits[first + i], images.size[1:]), count)
        if not total.any():
            raise MvdError(
                "no pixel of the label maps has a class of the model",
                f"{IGNORED} is no class; --reduce-zero-label is for maps where 0 is none, and 1 the first class",
            )
        return total

    def compare(self, reference: Confusion, artifact: Confusion) -> SegmentAccuracy:
        pixels = tuple(int(count) for count in reference.sum(axis=1))
        return SegmentAccuracy(len(self.given.images), self.given.classes, pixels, scores(reference), scores(artifact))


def labels_of(output: npt.NDArray[Any], fit: Fit, size: Sequence[int]) -> Labels:
    """Returns the classes that an output of one image means, of the image's own size, (H, W).

    Args:
        output: a label map of the input's size, whose nearest labels are taken; or logits (classes, h, w), which are
            resized to the input's size, then to the image's, between pixels' centres, before the largest is taken.
        fit: where the image lies in the input.
        size: (height, width) of the input.
    """
    height, width = fit.resized
    if output.ndim == 2:
        rows, columns = (
            ((np.arange(whole) + 0.5) * side / whole).astype(np.int64)
            for whole, side in zip(fit.picture, fit.resized, strict=True)
        )
        return output[:height, :width][np.ix_(rows, columns)].astype(np.int64)
    best = np.full(fit.picture, -np.inf, dtype=np.float32)
    labels = np.full(fit.picture, -1, dtype=np.int64)  # what no logit decides, for all are NaN, is no class
    step = max(1, AT_ONCE // max(fit.picture[0] * fit.picture[1], size[0] * size[1]))
    for begin in range(0, len(output), step):
        part = _resized(_resized(output[begin : begin + step], size)[:, :height, :width], fit.picture)
        for number, logits in enumerate(part, begin):
            larger = logits > best
            best[larger], labels[larger] = logits[larger], number
    return labels


def _resized(maps: Array, size: Sequence[int]) -> Array:
    given = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))[None]
    return F.interpolate(given, size=tuple(size), mode="bilinear", align_corners=False)[0].numpy()


def confusion(labels: Labels, found: Labels, count: int) -> Confusion:
    """Returns how many pixels of each labelled class were found to be of each, (classes, classes + 1)."""
    known = labels != IGNORED
    right, taken = labels[known], found[known]
    taken = np.where((taken >= 0) & (taken < count), taken, count)
    return np.bincount(right * (count + 1) + taken, minlength=count * (count + 1)).reshape(count, count + 1)


def scores(found: Confusion) -> SegmentScores:
    """Returns what a confusion says; 0 where no pixel is labelled."""
    same = np.diagonal(found).astype(float)
    labelled, total = found.sum(axis=1), found.sum()
    union = labelled + found[:, :-1].sum(axis=0) - same
    ious = tuple(float(shared / whole) if whole else None for shared, whole in zip(same, union, strict=True))
    there = [iou for iou in ious if iou is not None]
    return SegmentScores(float(np.mean(there)) if there else 0.0, float(same.sum() / max(total, 1)), ious)
