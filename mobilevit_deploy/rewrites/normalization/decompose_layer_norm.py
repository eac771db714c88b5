"""Spells a layer norm over the last axis with matrix products in place of means.

::

    layer_norm(x, [C], gain, offset)   ->   c * rsqrt(linear(c * c, 1 / C, bias=eps)) * gain + offset
                                            with c = x - linear(x, 1 / C)

Why it hurts: XNNPACK has no layer norm (ExecuTorch 1.5.1), so each one ends a delegated part of the graph: a part is
copied out, a kernel of ExecuTorch's own runs, and the next part is copied in. A product with a row of 1 / C is a mean
that XNNPACK takes over any number of axes in front.

Maps of one column, such as what a global average leaves for a head, are computed on two axes: litert-torch 0.10
refuses their products on four ("'tfl.batch_matmul' op found invalid output rank, expected 3 but got 4").
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class DecomposeLayerNorm(Rewrite):
    """``linear`` for mean and variance, ``rsqrt`` and products."""

    name: ClassVar[str] = "decompose_layer_norm"
    source: ClassVar[str] = (
        "Ba et al., arXiv 1607.06450, equation 4; executorch 1.5.1, ALL_PARTITIONER_CONFIGS of XNNPACK"
    )

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.layer_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if len(given["normalized_shape"]) != 1:
            raise Refusal("it normalises over more than the last axis")
        x: Node = given["input"]
        if 0 in shape(x):
            raise Refusal("there is nothing to normalise")
        single_columns = len(shape(x)) > 3 and shape(x)[-2] == 1
        channels, dtype = shape(x)[-1], x.meta["val"].dtype
        with graph.before(node):
            row = graph.add_weight("mean_of_channels", torch.full((1, channels), 1 / channels, dtype=dtype))
            eps = graph.add_weight("epsilon", torch.full((1,), given["eps"], dtype=dtype))
            if single_columns:
                x = graph.call(aten.reshape.default, x, [-1, channels], like=node)
            mean = graph.call(aten.linear.default, x, row, like=node)
            centred = graph.call(aten.sub.Tensor, x, mean, like=node)
            square = graph.call(aten.mul.Tensor, centred, centred, like=node)
            variance = graph.call(aten.linear.default, square, row, eps, like=node)
            scale = graph.call(aten.rsqrt.default, variance, like=node)
            result = graph.call(aten.mul.Tensor, centred, scale, like=node)
            if given["weight"] is not None:
                result = graph.call(aten.mul.Tensor, result, given["weight"], like=node)
            if given["bias"] is not None:
                result = graph.call(aten.add.Tensor, result, given["bias"], like=node)
            if single_columns:
                result = graph.call(aten.reshape.default, result, list(shape(node)), like=node)
            graph.replace(node, result)
