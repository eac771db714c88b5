"""Of detectors: average precision of PyTorch and of a file, by COCO's own evaluation (pycocotools), as MMDetection's.

Source: Lin et al., "Microsoft COCO", arXiv 1405.0312; https://cocodataset.org/#detection-eval.
"""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilevit_deploy.architectures.operations.suppression import choose
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.images.boxes import BoxedImages, Boxes
from mobilevit_deploy.images.outlines import Outline, outline_of_pixels
from mobilevit_deploy.images.preparation import Fit
from mobilevit_deploy.runners.base import Array, Runner, Values
from mobilevit_deploy.verification.accuracy.evaluation import Evaluation, Progress, run_all
from mobilevit_deploy.verification.detections import MASK_THRESHOLD

MOST_DETECTIONS = 100  # of an image, that COCO's evaluation counts


@dataclass(frozen=True)
class Masks:
    """Of instances: shares (n, s, s) of the cells of the box's own grid, 0 to 1, and those boxes (n, 4), in pixels.

    The boxes are those of the model, which end at the border of its input and not at that of the picture in it.
    """

    shares: Values
    boxes: Values

    def pixels(self, place: int, scale: Values, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Returns which pixels of a picture, (height, width), are those of one instance.

        Args:
            place: of the instance.
            scale: of its box, (4,), to pixels of the picture.
            size: (width, height) of the picture.
        """
        box, shares = self.boxes[place] * scale, self.shares[place]
        if not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            return np.zeros(size[::-1], dtype=bool)
        across, down = shares.shape[1] / (box[2] - box[0]), shares.shape[0] / (box[3] - box[1])
        around = Image.fromarray(np.pad(shares.astype(np.float32), 1))  # beyond the box there is nothing
        # Where a pixel lies in the grid; Pillow looks at the pixels' centres on both sides.
        grid = (across, 0, 1 - box[0] * across, 0, down, 1 - box[1] * down)
        pasted = around.transform(size, Image.Transform.AFFINE, grid, Image.Resampling.BILINEAR)
        inside: npt.NDArray[np.bool_] = np.asarray(pasted) >= MASK_THRESHOLD
        return inside


@dataclass(frozen=True)
class Detections:
    """Of one image: boxes (n, 4), x1, y1, x2, y2 in its own pixels; scores (n,) and labels (n,); perhaps masks.

    ``outlines`` are these masks in the image's own pixels, where they are measured.
    """

    boxes: Values
    scores: Values
    labels: Values
    masks: Masks | None = None
    outlines: tuple[Outline, ...] | None = None


@dataclass(frozen=True)
class DetectScores:
    """Of one side; a share of 1 each.

    Attributes:
        ap: mean over the classes and over overlaps of 0.5 to 0.95, in steps of 0.05.
        ap50: mean over the classes, at an overlap of 0.5.
        aps: of each class, as ``ap``; None of one that no image has.
        masks: the same of the masks, whose pixels overlap; None where there are none on both sides.
    """

    ap: float
    ap50: float
    aps: tuple[float | None, ...]
    masks: "DetectScores | None" = None


@dataclass(frozen=True)
class DetectAccuracy:
    """PyTorch's and an artifact's scores.

    Attributes:
        images: how many.
        classes: their names.
        boxes: how many there are of each class.
        before: PyTorch's.
        after: the artifact's.
    """

    images: int
    classes: tuple[str, ...]
    boxes: tuple[int, ...]
    before: DetectScores
    after: DetectScores

    metric: ClassVar[str] = "AP50:95"

    @property
    def reference(self) -> float:
        """Returns PyTorch's average precision."""
        return self.before.ap

    @property
    def artifact(self) -> float:
        """Returns the artifact's."""
        return self.after.ap


@dataclass(frozen=True)
class DetectEvaluation(Evaluation[DetectScores, DetectAccuracy]):
    """Images with boxes, for a model that returns detections, or boxes (B, N, 4) and scores (B, N, classes).

    Attributes:
        given: the images.
        rule: by which boxes are chosen behind a model that returns all; None for one that returns detections.
    """

    given: BoxedImages
    rule: Suppression | None = None

    def run(self, runner: Runner, batch: int, progress: Progress) -> DetectScores:
        images = self.given.images
        found: list[Detections] = []
        for first, size, outputs in run_all(runner, images, batch, progress):
            for i in range(size):
                own = [output[i] for output in outputs]
                chosen = chosen_by(own, self.rule, images.size[1:]) if self.rule else counted(own)
                fit = images.fits[first + i]
                placed = in_picture(chosen, fit)
                found.append(outlined(placed, fit) if self.given.outlined else replace(placed, masks=None))
        return average_precision(self.given, found)

    def compare(self, reference: DetectScores, artifact: DetectScores) -> DetectAccuracy:
        labels = np.concatenate([own.labels[~own.crowds] for own in self.given.boxes])
        counts = np.bincount(labels, minlength=len(self.given.classes))
        return DetectAccuracy(
            len(self.given.images), self.given.classes, tuple(map(int, counts)), reference, artifact
        )  # fmt: skip


def chosen_by(outputs: Sequence[Array], rule: Suppression, size: Sequence[int]) -> Detections:
    """Returns what a rule leaves of one image's boxes (N, 4) and scores (N, classes), for an input (height, width)."""
    boxes, scores = outputs[:2]
    places, labels = choose(boxes, scores, rule.level_sizes(len(boxes), size[0], size[1]), *rule.settings)
    return Detections(boxes[places].astype(float), scores[places, labels].astype(float), labels.astype(float))


def counted(outputs: Sequence[Array]) -> Detections:
    """Returns one image's detections, of the outputs boxes (K, 4), scores (K,), labels (K,), count and perhaps more."""
    boxes, scores, labels, count = (np.asarray(output, dtype=float) for output in outputs[:4])
    there = slice(int(count.reshape(-1)[0]))
    masks = None
    if len(outputs) > 4 and outputs[4].ndim == 3 and outputs[4].shape[0] == len(boxes):
        masks = Masks(np.asarray(outputs[4], dtype=float)[there], boxes[there])
    return Detections(boxes[there], scores[there], labels[there], masks)


def in_picture(found: Detections, fit: Fit) -> Detections:
    """Returns detections in pixels of a model's input as those in the picture's own, clipped to the picture.

    Those that lie in the padding alone have no area then, and are none: as with MMDetection's ``min_bbox_size = 0``.
    """
    height, width = fit.picture
    scale = np.array([width / fit.resized[1], height / fit.resized[0]] * 2)
    boxes = np.clip(found.boxes * scale, 0, np.array([width, height] * 2))
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    masks = Masks(found.masks.shares[inside], found.masks.boxes[inside] * scale) if found.masks else None
    return Detections(boxes[inside], found.scores[inside], found.labels[inside], masks)


def outlined(found: Detections, fit: Fit) -> Detections:
    """Returns detections in a picture's own pixels with their masks in these, too."""
    if found.masks is None:
        return found
    height, width = fit.picture
    pixels = (found.masks.pixels(place, np.ones(4), (width, height)) for place in range(len(found.boxes)))
    return replace(found, masks=None, outlines=tuple(map(outline_of_pixels, pixels)))


def average_precision(given: BoxedImages, found: Sequence[Detections]) -> DetectScores:
    """Returns what COCO's evaluation says of all images' detections; of their masks, where both sides have any."""
    boxes = _average_precision(given, found, "bbox")
    if not given.outlined or any(own.outlines is None for own in found):
        return boxes
    return replace(boxes, masks=_average_precision(given, found, "segm"))


def _average_precision(given: BoxedImages, found: Sequence[Detections], kind: Literal["bbox", "segm"]) -> DetectScores:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # Sizes are asked for, and not looked at: outlines have their own.
    images = [{"id": number, "height": 0, "width": 0} for number in range(1, len(found) + 1)]
    categories = [{"id": place, "name": name} for place, name in enumerate(given.classes, 1)]

    def indexed(annotations: list[dict[str, Any]]) -> Any:
        known = COCO()
        # From 1 on: of a box with the id 0 pycocotools takes what was found for not found.
        numbered = [annotation | {"id": number} for number, annotation in enumerate(annotations, 1)]
        known.dataset = {"images": images, "categories": categories, "annotations": numbered}
        known.createIndex()
        return known

    truth = [
        {"image_id": number, "category_id": int(label) + 1, "bbox": box.tolist(), "area": float(box[2:].prod()),
         "iscrowd": int(crowd), "segmentation": outline}
        for number, own in enumerate(given.boxes, 1)
        for box, label, crowd, outline in zip(own.boxes, own.labels, own.crowds, _outlines(own), strict=True)
    ]  # fmt: skip
    detected = [
        {"image_id": number, "category_id": int(label) + 1, "bbox": [*box[:2], *(box[2:] - box[:2])],
         "area": float((box[2:] - box[:2]).prod()), "score": float(score), "iscrowd": 0, "segmentation": outline}
        for number, own in enumerate(found, 1)
        for box, score, label, outline in zip(own.boxes, own.scores, own.labels, _outlines(own), strict=True)
        if np.isfinite(box).all() and np.isfinite(score)
    ]  # fmt: skip
    with redirect_stdout(io.StringIO()):  # it prints what it does
        evaluation = COCOeval(indexed(truth), indexed(detected), kind)
        evaluation.evaluate()
        evaluation.accumulate()
    # Overlaps, recalls, classes, sizes of boxes (the first is all), and numbers of detections (the last is the most).
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    assert evaluation.params.maxDets[-1] == MOST_DETECTIONS
    aps = tuple(_mean(precision[:, :, place]) for place in range(len(categories)))
    return DetectScores(_mean(precision) or 0.0, _mean(precision[0]) or 0.0, aps)


def _outlines(own: Boxes | Detections) -> Sequence[Outline | None]:
    return [None] * len(own.labels) if own.outlines is None else own.outlines


def _mean(precision: Values) -> float | None:
    """Returns the mean of what is known; -1 stands for a class that no image has."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None
