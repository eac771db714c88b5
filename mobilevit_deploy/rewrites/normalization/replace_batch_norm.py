"""Replaces a batch norm that nothing can absorb by a depthwise 1x1 convolution.

::

    batch_norm(x)   ->   conv2d(x, s, t, groups=C)        with s, t of shape (C, 1, 1, 1) and (C,)

Why: such norms stand on the maps that a backbone returns. ONNX Runtime's BatchNormalization leaves the
blocked layout of the convolutions, and its five inputs stay in the file; as a multiplication and an addition
it is slower than either (56 px, 48 channels, behind a convolution: 233, 243 and 247 us for the norm, the
convolution and the pair; one thread).
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import scale_and_shift
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceBatchNorm(Rewrite):
    """A depthwise convolution in place of a batch norm over (B, C, H, W)."""

    name: ClassVar[str] = "replace_batch_norm"
    source: ClassVar[str] = "the definition of batch norm in evaluation mode"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.batch_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        x: Node = arguments(node)["input"]
        if len(shape(x)) != 4:
            raise Refusal("the input is no batch of maps")
        scale, shift = scale_and_shift(graph, node)
        given = arguments(node)
        path = str(given["running_mean"].target).rpartition(".")[0]
        with graph.before(node):
            weight = graph.add_weight(f"{path}.scale", scale.view(-1, 1, 1, 1))
            bias = graph.add_weight(f"{path}.shift", shift)
            channels = shape(x)[1]
            ones, zeros = [1, 1], [0, 0]
            new = graph.call(aten.conv2d.default, x, weight, bias, ones, zeros, ones, channels, like=node)
        graph.replace(node, new)
