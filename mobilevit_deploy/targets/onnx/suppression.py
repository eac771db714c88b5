"""Non-maximum suppression in ONNX's standard operators; ``operations/suppression.py`` says what it computes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnxscript import ir, opset18

from mobilevit_deploy.architectures.operations.suppression import NO_CLASS

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

    Each level's best pairs of box and class are one ``TopK``, and so are the best boxes of all its classes. What is
    left may be fewer than asked for, so as many empty places come behind.
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
    # Each (pairs,); or (classes, pairs of one), where each class has as many.
    score, place, label = (op.Concat(*parts, axis=-1) for parts in (best, places, labels))
    if len(boxes.shape) == 4:
        place = op.Add(op.Mul(place, _numbers([classes])), label)
    box = op.Gather(op.Reshape(boxes, _numbers([-1, 4])), place)  # (pairs, 4), or (classes, pairs of one, 4)
    score = op.Where(_has_area(box), score, _floats([0]))
    rule = (_numbers([max_detections]), _floats([iou_threshold]), _floats([score_threshold]))
    if per_class:
        pair = _left_of_classes(box, score, sum(min(candidates, size) for size in level_sizes), rule)
    else:
        pair = _left(box, score, label, classes, rule)
    box = op.Reshape(box, _numbers([-1, 4]))
    score, label = (op.Reshape(item, _numbers([-1])) for item in (score, label))
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
    """Returns the same of the best boxes of each class, (classes, count) each."""
    count = min(candidates, size)
    values, boxes = op.TopK(op.Transpose(op.Squeeze(level, _numbers([0])), perm=[1, 0]), _numbers([count]))
    return values, boxes, _constant(np.repeat(np.arange(classes)[:, None], count, axis=1))


def _left(box: Any, score: Any, label: Any, classes: int, rule: tuple[Any, Any, Any]) -> Any:
    """Returns which pairs are left, (left,), of boxes (pairs, 4) with scores and labels (pairs,).

    ``NonMaxSuppression`` takes a score for each class of each box: of every pair it is given the box anew, with a score
    for its own class and 0, which no threshold lets through, for the others.
    """
    own = op.Equal(label, _constant(np.arange(classes).reshape(-1, 1)))  # (classes, pairs)
    scores = op.Where(own, score, _floats([0]))
    left = op.NonMaxSuppression(op.Unsqueeze(box, _numbers([0])), op.Unsqueeze(scores, _numbers([0])), *rule)
    return _column(left, 2)  # of image, class, pair


def _left_of_classes(box: Any, score: Any, count: int, rule: tuple[Any, Any, Any]) -> Any:
    """Returns the same of boxes (classes, count, 4) and scores (classes, count): to it a class is an image."""
    left = op.NonMaxSuppression(box, op.Unsqueeze(score, _numbers([1])), *rule)
    return op.Add(op.Mul(_column(left, 0), _numbers([count])), _column(left, 2))


def _column(table: Any, number: int) -> Any:
    return op.Squeeze(op.Slice(table, _numbers([number]), _numbers([number + 1]), _numbers([1])), _numbers([1]))


def _padded(values: Any, places: Any, empty: np.ndarray[Any, Any]) -> Any:
    """Returns the values at some places, and empty ones behind them."""
    return op.Concat(op.Gather(values, places), _constant(empty), axis=0)


def _has_area(box: Any) -> Any:
    """Tells of boxes (..., 4) which have one, (...)."""
    low, high = op.Split(box, num_outputs=2, axis=-1)
    return op.Cast(op.ReduceMin(op.Cast(op.Greater(high, low), to=INT32), _numbers([-1]), keepdims=0), to=BOOL)


def _numbers(values: Sequence[int]) -> Any:
    return _constant(np.array(values, np.int64))


def _floats(values: Sequence[float]) -> Any:
    return _constant(np.array(values, np.float32))


def _constant(values: np.ndarray[Any, Any]) -> Any:
    return op.Constant(value=ir.tensor(values))
