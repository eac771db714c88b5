"""Spells every global average as one mean over both axes of the map.

::

    adaptive_avg_pool2d(x, 1)            ->   mean(x, [2, 3], keepdim=True)
    avg_pool2d(x, (H, W))                ->   mean(x, [2, 3], keepdim=True)
    mean(flatten(x, 2), -1)              ->   mean(x, [2, 3])

Why it hurts: the reshape in front of the mean breaks the blocked layout of the convolutions, and adaptive
pooling is a loop with index arithmetic in some runtimes. Between ReduceMean and GlobalAveragePool ONNX
Runtime makes no difference (measured).
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair, is_call, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

MAP_AXES = [2, 3]


class FuseGlobalAverage(Rewrite):
    """One ``mean.dim`` over height and width; (B, C, H, W) to (B, C, 1, 1) or (B, C)."""

    name: ClassVar[str] = "fuse_global_average"
    source: ClassVar[str] = "the definitions; every element has weight 1 / (H * W) in each of them"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        yield from graph.calls(aten.adaptive_avg_pool2d, aten.avg_pool2d)
        for node in graph.calls(aten.mean):
            if is_call(node.args[0], aten.flatten, aten.view, aten.reshape):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        if is_call(node, aten.mean):
            x, keep = _flattened_map(node)
        else:
            x, keep = _pooled_map(node), True
        with graph.before(node):
            average = graph.call(aten.mean.dim, x, MAP_AXES, keep, like=node)
            if shape(average) != shape(node):
                average = graph.call(aten.reshape.default, average, list(shape(node)), like=node)
        graph.replace(node, average)


def _pooled_map(node: Node) -> Node:
    given = arguments(node)
    x: Node = given["self"]
    if len(shape(x)) != 4:
        raise Refusal("the input is no batch of maps")
    if is_call(node, aten.adaptive_avg_pool2d):
        if as_pair(given["output_size"]) != (1, 1):
            raise Refusal(f"the output size is {given['output_size']}, not 1")
    elif as_pair(given["kernel_size"]) != shape(x)[2:] or as_pair(given["padding"]) != (0, 0):
        raise Refusal("the window is not the whole map")
    elif given["divisor_override"] is not None:
        raise Refusal("the divisor is not the number of elements")
    return x


def _flattened_map(node: Node) -> tuple[Node, bool]:
    given = arguments(node)
    flat: Node = given["self"]
    x: Node = flat.args[0]  # type: ignore[assignment]  # the first argument of flatten, view and reshape is a tensor
    before, after = shape(x), shape(flat)
    if len(before) != 4 or after != (*before[:2], before[2] * before[3]):
        raise Refusal("the averaged tensor is no flattened map")
    if [axis % 3 for axis in given.get("dim") or ()] != [2]:
        raise Refusal("the mean is not over the flattened axis alone")
    if given.get("dtype") is not None:
        raise Refusal("the mean changes the dtype")
    return x, False
