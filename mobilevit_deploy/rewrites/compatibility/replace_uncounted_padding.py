"""Writes an average pool that leaves out its padding as one that counts it, and a product.

::

    avg_pool(x, k, s, p, count_include_pad=False)   ->   avg_pool(x, k, s, p) * places / counted

with the number of places of a window over the number of them that lie on the map: 1 but along the border, and one map
for all channels.
Why it hurts: coreai-torch 0.4.3 converts every average pool as one that counts its padding, without a word; its own
comment at ``aten.avg_pool2d`` says so. Outputs were off by half of the largest value.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceUncountedPadding(Rewrite):
    """A pool that counts its zeros, and what each window is to be multiplied by."""

    name: ClassVar[str] = "replace_uncounted_padding"
    source: ClassVar[str] = "PyTorch's documentation of AvgPool2d, count_include_pad"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.avg_pool2d):
            given = arguments(node)
            if not given["count_include_pad"] and any(as_pair(given["padding"])):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given["ceil_mode"]:
            raise Refusal("ceil mode adds windows that reach beyond the padding")
        if given["divisor_override"] is not None:
            raise Refusal("it divides by a number of its own")
        x: Node = given["self"]
        window = (given["kernel_size"], given["stride"], given["padding"])
        ones = torch.ones(1, *shape(x)[-2:], dtype=torch.float64)
        factor = (1 / aten.avg_pool2d(ones, *window)).to(x.meta["val"].dtype)
        with graph.before(node):
            pooled = graph.call(aten.avg_pool2d.default, x, *window, like=node)
            scaled = graph.call(aten.mul.Tensor, pooled, graph.add_weight("places_over_counted", factor), like=node)
        graph.replace(node, scaled)
