"""Brings tokens into the order of their windows before queries, keys and values are computed, not after.

::

    q, k, v = linear_q(x), linear_k(x), linear_v(x)                     (1, H * W, C)
    each: windows, then heads: reshape and permute to (windows, heads, 49, d)
        ->
    s = x in the order (place in the window, window)                    one permutation
    q, k, v = linear_q(s), linear_k(s), linear_v(s)                     (1, 49 * windows, C)
    each: reshape (49, windows, heads, d), permute (1, 2, 0, 3)

What else reads the layers is given their outputs in the old order.

Why it hurts: three copies of six axes become one of five, and the permutations that are left are those that ONNX
Runtime fuses into the matrix products: those that move the first axis behind the others (FusedMatMul with transBatchA
and transBatchB). With ``move_slices``, ``split_unbound_convolution``, ``sort_attention`` and ``merge_movements``, and
products that onnxsim does not merge again, lightvit_tiny takes 0.92 of the time (0.900 to 0.829 of the naive export,
CPU time of one thread, five to seven alternating pairs).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import Movement, Order, Shape, Step, Unfactorable, axes_of, follow, fuse
from mobilevit_deploy.graph.graph import Graph, is_call, readers, shape
from mobilevit_deploy.graph.movement_chains import chains_below, write_steps
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten


@dataclass(frozen=True)
class _Sorting:
    """How rows are permuted: cut into axes of these sizes, in this order."""

    sizes: Shape
    order: Order


class SortTokens(Rewrite):
    """One permutation of what several linear layers read, in place of one of each output."""

    name: ClassVar[str] = "sort_tokens"
    source: ClassVar[str] = "a linear layer computes each row of its output from the same row of its input"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.nodes:
            if not node._erased and _wanted(node)[0] is not None:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        sorting, layers = _wanted(node)
        assert sorting is not None  # candidates() has looked
        with graph.before(min(layers)):
            sorted_rows = _permute_rows(graph, node, sorting.sizes, sorting.order)
        back = tuple(sorting.order.index(i) for i in range(len(sorting.order)))
        moved = tuple(sorting.sizes[i] for i in sorting.order)
        for layer in layers:
            assert isinstance(layer.target, torch._ops.OpOverload)  # it is a linear layer
            with graph.before(layer):
                new = graph.call(layer.target, sorted_rows, *layer.args[1:], like=layer)
                graph.replace(layer, _permute_rows(graph, new, moved, back))


def _permute_rows(graph: Graph, x: Node, sizes: Shape, order: Order) -> Node:
    channels = len(order)
    cut = Step("reshape", (*sizes, shape(x)[-1]))
    return write_steps(graph, x, [cut, Step("permute", (*order, channels)), Step("reshape", shape(x))], like=x)


def _wanted(x: Node) -> tuple[_Sorting | None, list[Node]]:
    """Returns the order that at least two layers would like their rows to have, and these layers."""
    layers = [node for node in readers(x) if is_call(node, aten.linear) and node.args[0] is x]
    found = [(layer, sorting) for layer in layers for sorting in set(_sortings(layer))]
    counts = Counter(sorting for _, sorting in found)
    if not counts or counts.most_common(1)[0][1] < 2:
        return None, []
    best = counts.most_common(1)[0][0]
    return best, [layer for layer, sorting in found if sorting == best]


def _sortings(layer: Node) -> Iterable[_Sorting]:
    """Yields the order of rows in which each matrix product that reads a layer would take them without a copy."""
    for reader, _, steps in chains_below(layer):
        if is_call(reader, aten.matmul, aten.bmm):
            try:
                sorting = _sorting(follow(shape(layer), steps))
            except Unfactorable:
                continue
            if sorting:
                yield sorting


def _sorting(movement: Movement) -> _Sorting | None:
    """Returns the order (rows of a product, its windows); None where windows are no permutation of the rows."""
    rows = math.prod(movement.before[:-1])
    tokens = [i for i in range(len(movement.atoms)) if math.prod(movement.atoms[:i]) < rows]
    *batch, second, last = axes_of(movement)
    row_axis = [axis for axis in (second, last) if axis and set(axis) <= set(tokens)]
    windows = [atom for axis in batch for atom in axis if atom in tokens]
    if len(row_axis) != 1 or not windows or sorted((*windows, *row_axis[0])) != tokens:
        return None
    if [*windows, *row_axis[0]] == tokens:
        return None  # a batch of sequences: the order that is there
    return _Sorting(*fuse(movement.atoms[: len(tokens)], (*row_axis[0], *windows)))
