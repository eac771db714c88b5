"""Spells a group norm as an instance norm over the flattened groups.

::

    group_norm(x, G)                 ->   reshape(instance_norm(reshape(x, (B, G, -1))), (B, C, H, W))
    group_norm(x, G, gain, offset)   ->   conv2d(the same, gain, offset, groups=C)

Why it hurts: PyTorch's ONNX exporter writes the same reshapes around an InstanceNormalization itself, and behind them
always a Mul by the gain and an Add of the offset, by ones and zeros when the norm has none (torch 2.13, opset 20).
The form is kept because it is the fastest: on ONNX Runtime 1.31.1, LayerNormalization over the flattened map made a
CloFormer 2.5 % slower, and GroupNormalization of opset 21 took 3.8 times as long as InstanceNormalization.

ONNX Runtime sums a group's squares in float32 as they come: over 590 000 values (cloformer_s at 384 px) that cost
1.5e-5 of the largest output, of an image with large areas of one colour. ``decompose_group_norm`` averages over the
map first, then over channels: 6e-7 with all norms so, and the model takes 1.016 of the time (1.005 to 1.026).
"""

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.normalization.fold_group_norm_affine import gain_and_offset
from mobilevit_deploy.rewrites.normalization.replace_group_norm import affine_possible, apply_affine
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

# Values of a group. Up to here: 5e-6 for cloformer_xxs at 224 px and 7e-6 at 288, 1.4e-6 for cloformer_s at 224, where
# the other form would take 1.015 of the time.
LONGEST_SUM = 64 * 56 * 56
MOMENTUM = 0.1  # unused: there are no running statistics


class FlattenGroupNorm(Rewrite):
    """``instance_norm`` over (B, groups, C / groups * H * W), without Mul and Add where the norm has no affine."""

    name: ClassVar[str] = "flatten_group_norm"
    source: ClassVar[str] = "the definitions: both normalise each group of each image by its own statistics"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.group_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        gain_and_offset(graph, node)
        affine_possible(node)
        given = arguments(node)
        x: Node = given["input"]
        values = math.prod(shape(x)[1:]) // given["num_groups"]
        if values > LONGEST_SUM:
            raise Refusal(f"a group has {values} values, whose sum in float32 is not exact enough")
        statistics = (None, None, None, None, True, MOMENTUM, given["eps"], False)
        with graph.before(node):
            flat = graph.call(aten.reshape.default, x, [shape(x)[0], given["num_groups"], -1], like=node)
            normal = graph.call(aten.instance_norm.default, flat, *statistics, like=node)
            whole = graph.call(aten.reshape.default, normal, list(shape(x)), like=node)
            graph.replace(node, apply_affine(graph, node, whole))
