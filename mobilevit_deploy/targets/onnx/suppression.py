"""Non-maximum suppression in ONNX's standard operators; ``graph/suppression.py`` says what it computes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnxscript import ir, opset18

from mobilevit_deploy.graph.suppression import NO_CLASS

op: Any = opset18  # whose types are those of arrays, where the exporter hands in values of its graph
INT32, BOOL = onnx.TensorProto.INT32, onnx.TensorProto.BOOL


def write_suppression(
    boxes: Any,
    scores: Any,
    level_sizes: Sequence[int],
    candidates: int,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    per_class: bool = False,
) -> tuple[Any, Any, Any, Any]:
    """Returns the op's four results; for the exporter, which traces it.

    Each level's best pairs of box and class are one ``TopK``, and so are the best boxes of all its classes.
    ``NonMaxSuppression`` takes a score for each class of each box: of every pair it is given the box anew, with a score
    for its own class and 0, which no threshold lets through, for the others. What is left may be fewer than asked for,
    so as many empty places come behind.
    """
    classes = scores.shape[-1]
    best, places, labels = [], [], []
    begin = 0
    for size in level_sizes:
        level = op.Slice(scores, _numbers([begin]), _numbers([begin + size]), _numbers([1]))
        chosen = _best_of_classes if per_class else _best
        values, boxes_of, labels_of = chosen(level, size, classes, candidates)
        best.append(values)
        places.append(op.Add(boxes_of, _numbers([begin])))
        labels.append(labels_of)
        begin += size
    score, place, label = (op.Concat(*parts, axis=0) for parts in (best, places, labels))  # each (pairs,)
    box = op.Gather(op.Squeeze(boxes, _numbers([0])), place)  # (pairs, 4)
    score = op.Where(_has_area(box), score, _floats([0]))
    own = op.Equal(label, _constant(np.arange(classes).reshape(-1, 1)))  # (classes, pairs)
    left = op.NonMaxSuppression(
        op.Unsqueeze(box, _numbers([0])),
        op.Unsqueeze(op.Where(own, score, _floats([0])), _numbers([0])),
        _numbers([max_detections]),
        _floats([iou_threshold]),
        _floats([score_threshold]),
    )  # (left, 3): image, class, pair
    pair = op.Squeeze(op.Slice(left, _numbers([2]), _numbers([3]), _numbers([1])), _numbers([1]))
    kept_scores, order = op.TopK(_padded(score, pair, np.zeros(max_detections, np.float32)), _numbers([max_detections]))
    kept_boxes = op.Gather(_padded(box, pair, np.zeros((max_detections, 4), np.float32)), order)
    kept_labels = op.Gather(_padded(label, pair, np.full(max_detections, NO_CLASS)), order)
    filled = op.Cast(op.Greater(kept_scores, _floats([0])), to=INT32)  # empty places have the score 0
    return (
        op.Unsqueeze(kept_boxes, _numbers([0])),
        op.Unsqueeze(kept_scores, _numbers([0])),
        op.Cast(op.Unsqueeze(kept_labels, _numbers([0])), to=INT32),
        op.ReduceSum(filled, _numbers([0]), keepdims=1),
    )


def _best(level: Any, size: int, classes: int, candidates: int) -> tuple[Any, Any, Any]:
    """Returns the scores, boxes and classes of the best pairs of a level's scores, (1, size, classes)."""
    values, pairs = op.TopK(op.Reshape(level, _numbers([-1])), _numbers([min(candidates, size * classes)]))
    return values, op.Div(pairs, _numbers([classes])), op.Mod(pairs, _numbers([classes]))


def _best_of_classes(level: Any, size: int, classes: int, candidates: int) -> tuple[Any, Any, Any]:
    """Returns the same of the best boxes of each class, class after class."""
    count = min(candidates, size)
    values, boxes = op.TopK(op.Transpose(level, perm=[0, 2, 1]), _numbers([count]))  # (1, classes, count)
    flat = _numbers([-1])
    return op.Reshape(values, flat), op.Reshape(boxes, flat), _constant(np.repeat(np.arange(classes), count))


def _padded(values: Any, places: Any, empty: np.ndarray[Any, Any]) -> Any:
    """Returns the values at some places, and empty ones behind them."""
    return op.Concat(op.Gather(values, places), _constant(empty), axis=0)


def _has_area(box: Any) -> Any:
    """Tells of boxes (pairs, 4) which have one, (pairs,)."""
    low, high = op.Split(box, num_outputs=2, axis=1)
    return op.Cast(op.ReduceMin(op.Cast(op.Greater(high, low), to=INT32), _numbers([1]), keepdims=0), to=BOOL)


def _numbers(values: Sequence[int]) -> Any:
    return _constant(np.array(values, np.int64))


def _floats(values: Sequence[float]) -> Any:
    return _constant(np.array(values, np.float32))


def _constant(values: np.ndarray[Any, Any]) -> Any:
    return op.Constant(value=ir.tensor(values))
