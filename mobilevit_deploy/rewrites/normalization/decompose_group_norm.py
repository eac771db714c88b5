"""Spells a group norm of one group with global pooling and a 1x1 convolution in place of its statistics.

::

    group_norm(x, 1)   ->   c * rsqrt(conv2d(mean(c * c, [2, 3]), 1 / C, bias=eps))
                            with c = x - conv2d(mean(x, [2, 3]), 1 / C)

and behind it the depthwise convolution of ``replace_group_norm``, where gain and offset are left.

Why it hurts: XNNPACK has no norm, and no mean but that over height and width (ExecuTorch 1.5.1), so each norm ends a
delegated part of the graph: the map is transposed and copied out, a kernel of ExecuTorch's own runs, and the next part
copies and transposes it back.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.normalization.fold_group_norm_affine import gain_and_offset
from mobilevit_deploy.rewrites.normalization.replace_group_norm import affine_possible, apply_affine
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class DecomposeGroupNorm(Rewrite):
    """``mean`` over the map and a 1x1 convolution to one channel, for a batch of maps."""

    name: ClassVar[str] = "decompose_group_norm"
    source: ClassVar[str] = "Wu and He, arXiv 1803.08494, equation 1; executorch 1.5.1, MeanDimConfig of XNNPACK"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.group_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given["num_groups"] != 1:
            raise Refusal(f"it has {given['num_groups']} groups, and one convolution sums one")
        x: Node = given["input"]
        if len(shape(x)) != 4:
            raise Refusal("the input is no batch of maps")
        if 0 in shape(x):
            raise Refusal("there is nothing to normalise")
        gain_and_offset(graph, node)
        affine_possible(node)
        channels, dtype = shape(x)[1], x.meta["val"].dtype
        with graph.before(node):
            row = graph.add_weight("mean_of_channels", torch.full((1, channels, 1, 1), 1 / channels, dtype=dtype))
            eps = graph.add_weight("epsilon", torch.full((1,), given["eps"], dtype=dtype))

            def average(value: Node, bias: Node | None) -> Node:
                pooled = graph.call(aten.mean.dim, value, [2, 3], True, like=node)
                return graph.call(aten.conv2d.default, pooled, row, bias, like=node)

            centred = graph.call(aten.sub.Tensor, x, average(x, None), like=node)
            square = graph.call(aten.mul.Tensor, centred, centred, like=node)
            scale = graph.call(aten.rsqrt.default, average(square, eps), like=node)
            normal = graph.call(aten.mul.Tensor, centred, scale, like=node)
            graph.replace(node, apply_affine(graph, node, normal))
