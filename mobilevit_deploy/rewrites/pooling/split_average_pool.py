"""Splits an average pool over a large window into a chain of 2x2 pools.

::

    avg_pool2d(x, 8)   ->   avg_pool2d(avg_pool2d(avg_pool2d(x, 2), 2), 2)

Why it hurts: the Neural Engine likes pool windows of 2 or 4; larger ones may leave it. The mean of equally many
means is the mean of all, so for windows that are powers of two, without padding and without overlap, the chain is
exact. Windows of 2 and 4 are left alone.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair
from mobilevit_deploy.rewrites.pooling.move_average_pool import averages_whole_windows
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

LARGEST_WINDOW = 4
STEP = 2


class SplitAveragePool(Rewrite):
    """2x2 pools in a row in place of one that the Neural Engine does not like."""

    name: ClassVar[str] = "split_average_pool"
    source: ClassVar[str] = "Apple's authoring rules for the Neural Engine, as collected by hollance/neural-engine"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.avg_pool2d):
            if max(as_pair(arguments(node)["kernel_size"])) > LARGEST_WINDOW:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        height, width = as_pair(given["kernel_size"])
        if as_pair(given["stride"] or given["kernel_size"]) != (height, width):
            raise Refusal("the windows overlap or leave gaps")
        if height != width or height & (height - 1):
            raise Refusal(f"a window of {height} by {width} is no square of a power of two")
        if not averages_whole_windows(node):
            raise Refusal("the windows reach over the border, or do not average")
        pooled: Node = given["self"]
        window = height
        with graph.before(node):
            while window > 1:
                pooled = graph.call(aten.avg_pool2d.default, pooled, [STEP, STEP], [STEP, STEP], like=node)
                window //= STEP
        graph.replace(node, pooled)
