"""Merges two reshapes, or two permutations, in a row into one, or into none where they cancel.

::

    reshape(flatten(x, 2), (B, h, d, N))          ->   reshape(x, (B, h, d, N))
    transpose(transpose(k, -2, -1), -2, -1)       ->   k
    permute(transpose(x, 1, 2), [0, 1, 3, 2])     ->   permute(x, [0, 2, 3, 1])

Why it hurts: heads are split in one function and keys transposed in the next; every permutation copies the tensor.
An op in a row of its kind also hides what is in front of it from the rewrites that look through reshapes.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

RESHAPES = (aten.view, aten.reshape, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze)
PERMUTATIONS = (aten.permute, aten.transpose, aten.mT)


class MergeViews(Rewrite):
    """One ``reshape`` for two, one ``permute`` for two, and nothing for a pair that cancels."""

    name: ClassVar[str] = "merge_views"
    source: ClassVar[str] = "the definitions: reshapes keep the order of the elements, permutations compose"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for kind in (RESHAPES, PERMUTATIONS):
            for node in graph.calls(*kind):
                if is_call(node.args[0], *kind):
                    yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        inner = node.args[0]
        assert isinstance(inner, Node)  # candidates() has looked
        x = inner.args[0]
        assert isinstance(x, Node)  # the first argument of these ops is a tensor
        if is_call(node, *RESHAPES):
            cancels = shape(node) == shape(x)
        else:
            axes = [permutation(inner)[axis] for axis in permutation(node)]
            cancels = axes == sorted(axes)
        if cancels:
            graph.replace(node, x)
            return
        with graph.before(node):
            if is_call(node, *RESHAPES):
                merged = graph.call(aten.reshape.default, x, list(shape(node)), like=node)
            else:
                merged = graph.call(aten.permute.default, x, axes, like=node)
        graph.replace(node, merged)


def permutation(node: Node) -> list[int]:
    """Returns which axis of its input each axis of a ``permute``, ``transpose`` or ``mT`` is."""
    given = arguments(node)
    axes = list(range(len(shape(node))))
    if not axes:  # transpose takes a scalar
        return []
    if is_call(node, aten.permute):
        return [axis % len(axes) for axis in given["dims"]]
    first, second = (given.get(name, axis) % len(axes) for name, axis in (("dim0", -2), ("dim1", -1)))
    axes[first], axes[second] = second, first
    return axes
