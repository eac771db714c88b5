"""Boxes as Core ML's non-maximum suppression takes them: behind a graph that returns boxes and scores of one image.

That suppression has no levels, and gives each box one label, that of its largest score. A detector that keeps a box for
every class it scores well in, such as RetinaNet, decides otherwise. So the graph itself takes the best pairs of box and
class from each level, and gives each pair a row of its own with the score of its own class alone. Then both decide the
same, and the scores of a row sum up to at most 1, as ``NonMaximumSuppression.proto`` asks for where Vision reads them.
"""

from collections.abc import Sequence

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, shape

ATEN = torch.ops.aten
# The names that Turi Create's exporter, Apple's own, gave what goes into the suppression.
COORDINATES, CONFIDENCE = "raw_coordinates", "raw_confidence"


def append_candidates(
    graph: Graph,
    level_sizes: Sequence[int],
    candidates: int,
    height: int,
    width: int,
    columns: int,
    *,
    per_class: bool = False,
) -> tuple[Graph, dict[str, tuple[int, ...]]]:
    """Returns a graph that chooses the candidates, and the shapes of its two outputs by name.

    These are ``COORDINATES``, (K, 4), x and y of the centre, width and height as shares of the image's; and
    ``CONFIDENCE``, (K, columns), a score in the column of its class and 0 elsewhere. K is the sum over the levels of
    the number of pairs that are taken of each. A box without width or height has the score 0.

    Args:
        graph: whose outputs are boxes (1, N, 4), x1, y1, x2, y2 in pixels, and scores (1, N, classes), at least 0.
        level_sizes: how many of the N boxes come from each level, in order.
        candidates: pairs of box and class that are taken of each level at most, those with the best scores.
        height: of the image, in pixels.
        width: likewise.
        columns: of the confidence, at least the number of classes.
        per_class: whether so many pairs are taken of each class of a level.
    """
    edited = graph.copy()
    end = edited.graph.output_node()
    boxes, scores = end.all_input_nodes
    assert shape(boxes) == (1, sum(level_sizes), 4), (shape(boxes), level_sizes)
    assert shape(scores)[2] <= columns, (shape(scores), columns)
    chosen, begin = [], 0
    with edited.before(end):
        for size in level_sizes:
            parts = (
                edited.call(ATEN.slice.Tensor, item, 1, begin, begin + size, like=item) for item in (boxes, scores)
            )
            level_boxes, level_scores = (edited.call(ATEN.squeeze.dim, part, 0, like=part) for part in parts)
            best = _best_of_classes if per_class else _best_pairs
            chosen.append(best(edited, level_boxes, level_scores, candidates))
            begin += size
        box, score, label = (_joined(edited, list(parts)) for parts in zip(*chosen, strict=True))
        coordinates, has_area = _centre_form(edited, box, height, width)
        confidence = _own_column(edited, score, label, has_area, columns)
    found = {COORDINATES: coordinates, CONFIDENCE: confidence}
    edited.set_outputs(found)
    return edited, {name: shape(node) for name, node in found.items()}


def _best_pairs(graph: Graph, boxes: Node, scores: Node, candidates: int) -> tuple[Node, Node, Node]:
    """Returns box (k, 4), score (k,) and label (k,) of the best pairs of a level.

    The k best pairs have at most k boxes, and these are among the k whose largest score is best; so one sort goes over
    the boxes and one over the pairs of k boxes, in place of one over all pairs.

    Args:
        graph: that they are in.
        boxes: (n, 4).
        scores: (n, classes).
        candidates: k.
    """
    count, classes = shape(scores)
    if count > candidates:
        largest = graph.call(ATEN.amax.default, scores, [1], like=scores)
        _, places = _largest(graph, largest, candidates)
        boxes, scores = (graph.call(ATEN.index_select.default, item, 0, places, like=item) for item in (boxes, scores))
    pairs = graph.call(ATEN.reshape.default, scores, [-1], like=scores)
    best, numbers = _largest(graph, pairs, min(candidates, shape(pairs)[0]))
    # coremltools divides the integers, and returns float32; which half precision must not have, nor gather.
    quotients = graph.call(ATEN.floor_divide.default, numbers, classes, like=scores)
    places = graph.call(ATEN._to_copy.default, quotients, like=scores, dtype=torch.int32)
    firsts = graph.call(ATEN.mul.Tensor, places, classes, like=scores)
    labels = graph.call(ATEN.sub.Tensor, numbers, firsts, like=scores)
    return graph.call(ATEN.index_select.default, boxes, 0, places, like=boxes), best, labels


def _best_of_classes(graph: Graph, boxes: Node, scores: Node, candidates: int) -> tuple[Node, Node, Node]:
    """Returns the same of the best boxes of each class of a level, class after class."""
    count, classes = shape(scores)
    taken = min(candidates, count)
    by_class = graph.call(ATEN.permute.default, scores, [1, 0], like=scores)
    best, numbers = (
        graph.call(ATEN.reshape.default, item, [-1], like=scores) for item in _largest(graph, by_class, taken)
    )
    places = graph.call(ATEN._to_copy.default, numbers, like=scores, dtype=torch.int32)
    labels = graph.add_weight("classes", torch.arange(classes).repeat_interleave(taken))
    return graph.call(ATEN.index_select.default, boxes, 0, places, like=boxes), best, labels


def _largest(graph: Graph, values: Node, count: int) -> tuple[Node, Node]:
    """Returns the largest of the values, (..., count), the first one first, and their places."""
    found = graph.call(ATEN.topk.default, values, count, like=values)
    return graph.item(found, 0), graph.item(found, 1)


def _joined(graph: Graph, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else graph.call(ATEN.cat.default, parts, 0, like=parts[0])


def _centre_form(graph: Graph, boxes: Node, height: int, width: int) -> tuple[Node, Node]:
    """Returns boxes (K, 4) by centre and size, as shares of the image's, (K, 4); and which have an area, (K, 1)."""
    pixels = torch.tensor([[width, height]], dtype=torch.float64)
    dtype = boxes.meta["val"].dtype
    low = graph.call(ATEN.slice.Tensor, boxes, 1, 0, 2, like=boxes)
    high = graph.call(ATEN.slice.Tensor, boxes, 1, 2, 4, like=boxes)
    to_share = graph.add_weight("box_scale", (1 / pixels).to(dtype))
    to_centre = graph.add_weight("centre_scale", (1 / (2 * pixels)).to(dtype))
    both = graph.call(ATEN.add.Tensor, low, high, like=boxes)
    centre = graph.call(ATEN.mul.Tensor, both, to_centre, like=boxes)
    sides = graph.call(ATEN.sub.Tensor, high, low, like=boxes)
    size = graph.call(ATEN.mul.Tensor, sides, to_share, like=boxes)
    smallest = graph.call(ATEN.amin.default, sides, [1], True, like=boxes)  # (K, 1)
    has_area = graph.call(ATEN.gt.Scalar, smallest, 0, like=boxes)
    return graph.call(ATEN.cat.default, [centre, size], 1, like=boxes), has_area


def _own_column(graph: Graph, best: Node, labels: Node, has_area: Node, columns: int) -> Node:
    """Returns each score in the column of its label, (K, columns); 0 in the others, and for boxes without area."""
    column = graph.add_weight("columns", torch.arange(columns).view(1, -1))
    label = graph.call(ATEN.unsqueeze.default, labels, 1, like=best)
    own = graph.call(ATEN.eq.Tensor, label, column, like=best)
    shown = graph.call(ATEN.logical_and.default, own, has_area, like=best)
    # A product with 0 and 1, for coremltools writes the zeros of a choice into the package, one for each place.
    factor = graph.call(ATEN._to_copy.default, shown, like=best, dtype=best.meta["val"].dtype)
    value = graph.call(ATEN.unsqueeze.default, best, 1, like=best)
    return graph.call(ATEN.mul.Tensor, value, factor, like=best)
