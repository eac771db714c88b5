"""Writes a 3-D maximum pooling as one or two 2-D ones.

::

    max_pool3d(x, (1, 2, 2))   ->   max_pool2d(x with depth as channels, (2, 2))
    max_pool3d(x, (2, 2, 1))   ->   permute(max_pool2d(permute(x), (2, 2)))
    max_pool3d(x, (2, 3, 3))   ->   max_pool2d(max_pool2d(x, (3, 3)), (2, 1))

The second is how channels-last code halves a map (B, H, W, C). In the third the maximum over a box is that
over its columns of the maxima over its rows, whatever stride, padding and dilation are.

Why it hurts: coremltools refuses max_pool3d from torch.export, and of the TorchScript exporter's MaxPool
ONNX Runtime refuses the shape (both seen on a research LightViT).
"""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

SETTINGS = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}  # and their values where nothing is pooled


class ReplaceMaxPool3d(Rewrite):
    """``max_pool2d`` on tensors of rank 4, with ``reshape`` and ``permute`` where the axes need it."""

    name: ClassVar[str] = "replace_max_pool3d"
    source: ClassVar[str] = "a maximum is separable over axes"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.max_pool3d, aten.max_pool3d_with_indices)

    def rewrite(self, graph: Graph, node: Node) -> None:
        values = node
        if is_call(node, aten.max_pool3d_with_indices):
            if [(reader.target, reader.args[1]) for reader in readers(node)] != [(operator.getitem, 0)]:
                raise Refusal("the indices of the maxima are read")
            (values,) = readers(node)
        given = arguments(node)
        x: Node = given["self"]
        axes = [_axis(given, i) for i in range(3)]
        still = [i for i, axis in enumerate(axes) if axis == SETTINGS]
        outer = math.prod(shape(x)[:-3])
        with graph.before(node):
            y = _reshape(graph, x, [outer, *shape(x)[-3:]], node)
            if still:
                y = _pool_beside(graph, y, still[0], axes, given["ceil_mode"], node)
            else:
                y = _pool(graph, y, axes[1:], given["ceil_mode"], node)  # (outer, D, H', W')
                size = shape(y)
                y = _reshape(graph, y, [1, size[0], size[1], size[2] * size[3]], node)
                y = _pool(graph, y, [axes[0], SETTINGS], given["ceil_mode"], node)  # (1, outer, D', H' * W')
            y = _reshape(graph, y, list(shape(values)), node)
        graph.replace(values, y)


def _axis(given: dict[str, Any], i: int) -> dict[str, int]:
    """Returns the settings of one of the three axes; no stride means that of the kernel."""
    values = {name: given[name] or given["kernel_size"] for name in SETTINGS if name != "padding"}
    values["padding"] = given["padding"]
    each = {
        name: value if isinstance(value, int) else value[i if len(value) == 3 else 0] for name, value in values.items()
    }
    if each["kernel_size"] == 1:
        each["dilation"] = 1  # of a single tap, which it does not move
    return {name: each[name] for name in SETTINGS}


def _pool_beside(graph: Graph, y: Node, still: int, axes: Sequence[dict[str, int]], ceil: bool, like: Node) -> Node:
    """Pools (N, D, H, W) over two of the last three axes; ``still`` is the other one, from 0."""
    moving = [i for i in range(3) if i != still]
    order = [0, 1 + still, *(1 + i for i in moving)]
    turned = order != sorted(order)
    if turned:
        y = graph.call(aten.permute.default, y, order, like=like)
    y = _pool(graph, y, [axes[i] for i in moving], ceil, like)
    back = [order.index(i) for i in range(4)]
    return graph.call(aten.permute.default, y, back, like=like) if turned else y


def _pool(graph: Graph, y: Node, axes: Sequence[dict[str, int]], ceil: bool, like: Node) -> Node:
    settings = [[axis[name] for axis in axes] for name in SETTINGS]
    return graph.call(aten.max_pool2d.default, y, *settings, ceil, like=like)


def _reshape(graph: Graph, y: Node, size: list[int], like: Node) -> Node:
    return y if list(shape(y)) == size else graph.call(aten.reshape.default, y, size, like=like)
