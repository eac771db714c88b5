"""Writes a softmax over the rows of a map as one of rank 3, where the map comes from convolutions or pools.

::

    softmax(x, -1)  of (B, C, H, W)   ->   softmax(x as (B, C * H, W), -1) as (B, C, H, W)

Why it hurts: XNNPACK keeps what a convolution or a pool returns with its channels last, and executorch 1.5.1 does not
count softmax among the operations that have to be given it back in PyTorch's order
(``backends/xnnpack/_passes/channels_last_tagged_reshape_pass.py``): without a word it is taken over the channels.
Attention whose heads are mixed by a 1x1 convolution was off by 0.27 of its largest value. A reshape gives it back.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

SOFTMAX = (aten.softmax, aten._softmax)
# After these XNNPACK has the channels last.
CHANNELS_LAST = (
    *(aten.conv2d, aten.conv_transpose2d, aten.convolution, aten.prelu),
    *(aten.max_pool2d, aten.avg_pool2d, aten.adaptive_avg_pool2d, aten.mean, aten.amax, aten.max),
    *(aten.upsample_bilinear2d, aten.upsample_nearest2d),
)
# In front of these it has PyTorch's order.
IN_ORDER = (
    *(aten.view, aten.reshape, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze, aten.select, aten.expand),
    *(aten.permute, aten.transpose, aten.matmul, aten.bmm, aten.linear),
)


class FlattenSoftmax(Rewrite):
    """A softmax of a tensor that has no channels."""

    name: ClassVar[str] = "flatten_softmax"
    source: ClassVar[str] = "the rows are the same; executorch's issue is its list memory_sensitive_ops_nchw"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(*SOFTMAX):
            x: Node = arguments(node)["self"]
            if len(shape(x)) == 4 and arguments(node)["dim"] in (-1, 3) and _has_channels_last(x, set()):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        x: Node = arguments(node)["self"]
        batch, channels, height, width = shape(x)
        with graph.before(node):
            rows = graph.call(aten.reshape.default, x, [batch, channels * height, width], like=node)
            result = graph.call(node.target, rows, -1, *node.args[2:], like=node, **node.kwargs)  # type: ignore[arg-type]  # a call
            back = graph.call(aten.reshape.default, result, [batch, channels, height, width], like=node)
        graph.replace(node, back)


def _has_channels_last(node: Node, seen: set[Node]) -> bool:
    """Tells whether a map of rank 4 reaches a node from a convolution or a pool, through what keeps its order."""
    if node in seen or node.op != "call_function" or len(shape(node)) != 4 or is_call(node, *IN_ORDER):
        return False
    seen.add(node)
    return is_call(node, *CHANNELS_LAST) or any(_has_channels_last(item, seen) for item in node.all_input_nodes)
