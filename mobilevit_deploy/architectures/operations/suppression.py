"""Non-maximum suppression as one op of the graph, ``mvd::suppress``, which a target writes in its own way or refuses.

ATen has none, and torchvision's has neither classes nor levels. The op's kernel is the plain definition, by NumPy; what
a target writes is compared with it. The order of what is kept is told even among equal scores: by class, then by place.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NO_CLASS = -1  # the label of places that no detection fills

Numbers = npt.NDArray[np.floating]
Places = npt.NDArray[np.int64]


@torch.library.custom_op("mvd::suppress", mutates_args=())
def suppress(
    boxes: Tensor,
    scores: Tensor,
    level_sizes: Sequence[int],
    candidates: int,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    per_class: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the detections of one image, the best first; none without area, as what clipping leaves outside has.

    Args:
        boxes: (1, N, 4), x1, y1, x2, y2; or (1, N, classes, 4), where each class has its own.
        scores: (1, N, classes), each at least 0.
        level_sizes: how many of the N boxes come from each level, in order.
        candidates: pairs of box and class that are taken of each level, those with the best scores.
        score_threshold: only what scores more is taken.
        iou_threshold: of two boxes of a class that overlap by more, the one with the lower score goes.
        max_detections: K.
        per_class: whether so many candidates are taken of each class of a level.

    Returns:
        Boxes (1, K, 4), scores (1, K), labels (1, K) and their count (1,); places that none fills are 0, labels there
        are ``NO_CLASS``. Labels and count are int32.
    """
    shapes = ((1, max_detections, 4), (1, max_detections))
    kept_boxes, kept_scores = (scores.new_zeros(shape) for shape in shapes)
    labels = torch.full(shapes[1], NO_CLASS, dtype=torch.int32)
    own_boxes, own_scores = boxes[0].numpy(), scores[0].numpy()
    places, classes = choose(
        own_boxes, own_scores, level_sizes, candidates, score_threshold, iou_threshold, max_detections, per_class
    )
    count = len(places)
    kept_boxes[0, :count] = torch.from_numpy(_of(own_boxes, places, classes))
    kept_scores[0, :count] = torch.from_numpy(own_scores[places, classes])
    labels[0, :count] = torch.from_numpy(classes)
    return kept_boxes, kept_scores, labels, torch.tensor([count], dtype=torch.int32)


SUPPRESS = torch.ops.mvd.suppress.default


@suppress.register_fake
def _shapes(
    boxes: Tensor,
    scores: Tensor,
    level_sizes: Sequence[int],  # noqa: ARG001 - of the op, as the next three
    candidates: int,  # noqa: ARG001
    score_threshold: float,  # noqa: ARG001
    iou_threshold: float,  # noqa: ARG001
    max_detections: int,
    per_class: bool = False,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        boxes.new_empty(1, max_detections, 4),
        scores.new_empty(1, max_detections),
        scores.new_empty((1, max_detections), dtype=torch.int32),
        scores.new_empty((1,), dtype=torch.int32),
    )


def choose(
    boxes: Numbers,
    scores: Numbers,
    level_sizes: Sequence[int],
    candidates: int,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    per_class: bool = False,
) -> tuple[Places, Places]:
    """Returns which box and which class each detection has, the best score first; as ``suppress``, without its 1."""
    found = [np.empty((0, 2), dtype=np.int64)]
    begin = 0
    for size in level_sizes:
        level = scores[begin : begin + size]
        place, label = _best_of_classes(level, candidates) if per_class else _best(level, candidates)
        enough = level[place, label] > score_threshold
        place, label = place[enough], label[enough]
        found.append(np.stack((place + begin, label), axis=1))
        begin += size
    pairs = np.concatenate(found)
    corners = _of(boxes, pairs[:, 0], pairs[:, 1])
    pairs = pairs[(corners[:, 2:] > corners[:, :2]).all(axis=1)]
    kept = [
        _suppress_class(
            boxes if boxes.ndim == 2 else boxes[:, label],
            scores,
            pairs[pairs[:, 1] == label],
            iou_threshold,
            max_detections,
        )
        for label in np.unique(pairs[:, 1])
    ]
    left = np.concatenate(kept) if kept else pairs
    order = np.argsort(-scores[left[:, 0], left[:, 1]], kind="stable")[:max_detections]
    return left[order, 0], left[order, 1]


def _of(boxes: Numbers, places: Places, labels: Places) -> Numbers:
    """Returns the box of each pair of place and class, (pairs, 4)."""
    return boxes[places] if boxes.ndim == 2 else boxes[places, labels]


def _best(level: Numbers, candidates: int) -> tuple[Places, Places]:
    """Returns which boxes and classes score best of all pairs, (k,) each."""
    place, label = np.unravel_index(np.argsort(-level, axis=None, kind="stable")[:candidates], level.shape)
    return place, label


def _best_of_classes(level: Numbers, candidates: int) -> tuple[Places, Places]:
    """Returns the same of each class by itself, class after class."""
    places = np.argsort(-level, axis=0, kind="stable")[:candidates]  # (k, classes)
    return places.T.reshape(-1), np.repeat(np.arange(level.shape[1]), len(places))


def _suppress_class(
    boxes: Numbers, scores: Numbers, pairs: Places, iou_threshold: float, max_detections: int
) -> Places:
    """Returns the (place, class) pairs of one class that are left, the best score first."""
    pairs = pairs[np.argsort(-scores[pairs[:, 0], pairs[:, 1]], kind="stable")]
    kept: list[Places] = []
    while len(pairs) and len(kept) < max_detections:
        kept.append(pairs[0])
        overlap = overlaps(boxes[pairs[0, 0]], boxes[pairs[1:, 0]])
        pairs = pairs[1:][overlap <= iou_threshold]
    return np.stack(kept)


def overlaps(box: Numbers, others: Numbers) -> Numbers:
    """Returns the intersection over union of a box, (4,), and others, (N, 4); 0 where neither has an area."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        shared = sides.clip(0).prod(axis=1)
        areas = (others[:, 2:] - others[:, :2]).clip(0).prod(axis=1)
        union = (box[2:] - box[:2]).clip(0).prod() + areas - shared
        share: Numbers = np.where(union > 0, shared / union, 0.0)
    return share
