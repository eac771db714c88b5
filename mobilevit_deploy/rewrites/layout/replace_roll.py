"""Writes a cyclic shift as two slices and a concatenation per axis.

::

    roll(x, s, axis)   ->   concat(x[-s:], x[:-s], axis)

Why it hurts: coremltools 9.0 converts ``torch.roll``, as shifted windows use it, to one gather per axis, and a
gather leaves the Neural Engine. Slices along one axis are views or plain copies.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceRoll(Rewrite):
    """Slices and concatenations in place of ``roll``."""

    name: ClassVar[str] = "replace_roll"
    source: ClassVar[str] = "PyTorch's definition of roll; hollance/neural-engine, unsupported-layers.md, on gathers"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.roll)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x, shifts, axes = given["self"], _as_list(given["shifts"]), _as_list(given["dims"])
        if not axes:
            raise Refusal("the shift is over the flattened tensor and not along an axis")
        with graph.before(node):
            rolled = x
            for shift, axis in zip(shifts, axes, strict=True):
                rolled = _roll(graph, rolled, shift, axis % len(shape(node)), node)
            graph.replace(node, rolled)


def _roll(graph: Graph, x: Node, shift: int, axis: int, like: Node) -> Node:
    size = shape(x)[axis]
    shift %= size
    if not shift:
        return x
    last = graph.call(aten.slice.Tensor, x, axis, size - shift, size, like=like)
    first = graph.call(aten.slice.Tensor, x, axis, 0, size - shift, like=like)
    return graph.call(aten.cat.default, [last, first], axis, like=like)


def _as_list(value: int | Sequence[int]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)
