"""Removes the cutting of a tensor whose parts are joined again in their order.

::

    cat([x[:, :8], x[:, 8:]], 1)   ->   x
    cat([x[:, 2:5], x[:, 5:9]], 1)   ->   x[:, 2:9]

Reshapes behind a slice that change nothing in the end are looked through.

Why it hurts: a model that pads or shuffles some tokens, and finds that there is nothing to do, leaves this behind:
two copies of the whole tensor (LightViT: one before every attention), which hide from the other rewrites what is read.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.rewrites.layout.merge_views import RESHAPES
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class MergeSlices(Rewrite):
    """The tensor itself, or one slice of it, in place of a concatenation of adjacent slices."""

    name: ClassVar[str] = "merge_slices"
    source: ClassVar[str] = "the definitions: slices that meet are one slice"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.cat):
            if all(is_call(_original(part), aten.slice) for part in arguments(node)["tensors"]):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        parts = [_original(part) for part in given["tensors"]]
        axis = given["dim"] % len(shape(node))
        x = parts[0].args[0]
        assert isinstance(x, Node)  # the first argument of a slice is a tensor
        ranges = [slice_range(part) for part in parts]
        if any(part.args[0] is not x for part in parts) or any(found[0] != axis for found in ranges):
            raise Refusal("the parts are not slices of one tensor along the axis on which they are joined")
        start, end = ranges[0][1], ranges[0][1]
        for _, first, last in ranges:
            if first != end:
                raise Refusal("the slices do not follow one another")
            end = last
        joined = x
        if end - start != shape(x)[axis]:
            with graph.before(node):
                joined = graph.call(aten.slice.Tensor, x, axis, start, end, like=node)
        graph.replace(node, joined)


def _original(node: Node) -> Node:
    """Returns the tensor that reshapes in a row have brought back to its own shape, or else the node itself."""
    original, found = node, node
    while is_call(found, *RESHAPES):
        assert isinstance(found.args[0], Node)  # the first argument of a reshape is a tensor
        found = found.args[0]
        original = found if shape(found) == shape(node) else original
    return original


def slice_range(node: Node) -> tuple[int, int, int]:
    """Returns the axis that a slice cuts, where it starts, and where it ends; raises Refusal for steps above 1."""
    given = arguments(node)
    x: Node = given["self"]
    axis = given["dim"] % len(shape(x))
    if given["step"] != 1:
        raise Refusal("a slice takes less than every element")
    start = slice(given["start"], given["end"]).indices(shape(x)[axis])[0]
    return axis, start, start + shape(node)[axis]
