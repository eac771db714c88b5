"""Moves an average pool from behind a 1x1 convolution to the front of it.

::

    avg_pool2d(conv1x1(x, W, b), k)   ->   conv1x1(avg_pool2d(x, k), W, b)

Why it hurts: the convolution computes k * k positions for each one that is kept. Both are linear, the window's
weights sum to 1, so the bias passes unchanged, and the convolution looks at one position at a time: the two
commute exactly. Padding would break that, because the pool then averages zeros that have no bias.
"""

from collections.abc import Iterable
from math import prod
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair, is_call, readers, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class MoveAveragePool(Rewrite):
    """The pool first, where that saves multiplications."""

    name: ClassVar[str] = "move_average_pool"
    source: ClassVar[str] = "linearity of the convolution and of the average; both act on different axes"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.avg_pool2d):
            if is_call(arguments(node)["self"], aten.conv2d):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        convolution: Node = arguments(node)["self"]
        given = arguments(convolution)
        x: Node = given["input"]
        if len(readers(convolution)) != 1:
            raise Refusal("the convolution's output is read unpooled too")
        if not averages_whole_windows(node):
            raise Refusal("the windows reach over the border, or do not average")
        if not _acts_on_points(convolution):
            raise Refusal("the convolution is not 1x1 with stride 1 and without padding")
        if not _saves(x, convolution, node):
            raise Refusal("the pool in front would cost more than the convolution saves")
        with graph.before(convolution):
            pooled = graph.call(aten.avg_pool2d.default, x, *node.args[1:], like=node)
            moved = graph.call(aten.conv2d.default, pooled, *convolution.args[1:], like=convolution)
        graph.replace(node, moved)


def averages_whole_windows(pool: Node) -> bool:
    """Tells whether every window of an ``avg_pool2d`` lies inside the map and is divided by its size."""
    given = arguments(pool)
    if as_pair(given["padding"]) != (0, 0) or given["divisor_override"] is not None:
        return False
    if not given["ceil_mode"]:
        return True
    kernel = as_pair(given["kernel_size"])
    stride = as_pair(given["stride"] or kernel)
    sides = zip(shape(given["self"])[2:], kernel, stride, strict=True)
    return all((side - window) % step == 0 for side, window, step in sides)


def _acts_on_points(convolution: Node) -> bool:
    given = arguments(convolution)
    if convolution.target is not aten.conv2d.default or convolution.kwargs:
        return False
    return (
        shape(given["weight"])[2:] == (1, 1)
        and as_pair(given["stride"]) == (1, 1)
        and as_pair(given["padding"]) == (0, 0)
    )


def _saves(x: Node, convolution: Node, pool: Node) -> bool:
    """Compares multiplications of the convolution and additions of the pool, before and after."""
    window = prod(as_pair(arguments(pool)["kernel_size"]))
    weights = shape(arguments(convolution)["weight"])
    positions, kept = prod(shape(convolution)[2:]), prod(shape(pool)[2:])
    channels_in, channels_out = shape(x)[1], weights[0]
    behind = positions * prod(weights) + kept * window * channels_out
    in_front = kept * prod(weights) + kept * window * channels_in
    return in_front < behind
