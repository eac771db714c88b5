"""Cuts tokens before a linear layer instead of behind it.

::

    y = linear(x, W, b);  y[:, :8], y[:, 8:]   ->   linear(x[:, :8], W, b), linear(x[:, 8:], W, b)

for slices along any axis but the channels that do not overlap: no row is multiplied twice, and none that nothing reads.

Why it hurts: queries, keys and values are three times as wide as what they are computed from, and slices copy.
Behind the cut each part has a layer of its own, from which ``split_unbound_convolution`` drops what that part does
not need, such as the keys of tokens that only ask. See ``sort_tokens`` for what it gains.
"""

import itertools
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.layout.merge_slices import slice_range
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class MoveSlices(Rewrite):
    """``slice`` and ``linear`` for each part, in place of ``linear`` and slices of its output."""

    name: ClassVar[str] = "move_slices"
    source: ClassVar[str] = "a linear layer computes each row of its output from the same row of its input"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.linear):
            if any(is_call(reader, aten.slice) for reader in readers(node)):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        parts = readers(node)
        if not all(is_call(part, aten.slice) for part in parts):
            raise Refusal("the layer's output is read uncut too")
        ranges = [slice_range(part) for part in parts]
        axis = ranges[0][0]
        if axis == len(shape(node)) - 1 or any(found[0] != axis for found in ranges):
            raise Refusal("the slices are not along one axis of tokens")
        if shape(given["input"])[-1] > shape(node)[-1]:
            raise Refusal("the layer narrows: cutting its output copies less")
        cuts = sorted({(start, end) for _, start, end in ranges})
        if any(end > start for (_, end), (start, _) in itertools.pairwise(cuts)):
            raise Refusal("the slices overlap: rows would be multiplied twice")
        layers: dict[tuple[int, int], Node] = {}
        for start, end in cuts:
            with graph.before(node):
                rows = graph.call(aten.slice.Tensor, given["input"], axis, start, end, like=node)
                layers[start, end] = graph.call(aten.linear.default, rows, given["weight"], given["bias"], like=node)
        for part, (_, start, end) in zip(parts, ranges, strict=True):
            graph.replace(part, layers[start, end])
