"""Replaces a group norm of one group by a layer norm over the whole map.

::

    group_norm(x, 1)                 ->   layer_norm(x, [C, H, W])
    group_norm(x, 1, gain, offset)   ->   conv2d(layer_norm(x, [C, H, W]), gain, offset, groups=C)

Why it hurts: coremltools 9.0 writes nine ops for each, reshapes among them (reshape, reduce_mean, sub, square,
reduce_mean, add, sqrt, real_div, reshape), and two for gain and offset. The layer norm stays one op, and the depthwise
1x1 convolution is one.

Not for ONNX Runtime: cloformer_xxs took 2.5 % longer with LayerNormalization than with InstanceNormalization.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.normalization.fold_group_norm_affine import gain_and_offset
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceGroupNorm(Rewrite):
    """``layer_norm`` over (C, H, W), and a depthwise convolution where gain and offset are left."""

    name: ClassVar[str] = "replace_group_norm"
    source: ClassVar[str] = (
        "Wu and He, arXiv 1803.08494: with one group it is layer norm; ops as coremltools 9.0 writes them"
    )

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.group_norm)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given["num_groups"] != 1:
            raise Refusal(f"it has {given['num_groups']} groups, and a layer norm has one")
        gain_and_offset(graph, node)
        affine_possible(node)
        with graph.before(node):
            x: Node = given["input"]
            sizes = list(shape(x)[1:])
            normal = graph.call(aten.layer_norm.default, x, sizes, None, None, given["eps"], like=node)
            graph.replace(node, apply_affine(graph, node, normal))


def affine_possible(node: Node) -> None:
    """Raises Refusal when gain and offset cannot be a depthwise convolution."""
    given = arguments(node)
    if len(shape(node)) != 4 and (given["weight"] is not None or given["bias"] is not None):
        raise Refusal("gain and offset are left, and the input is no batch of maps")


def apply_affine(graph: Graph, node: Node, normal: Node) -> Node:
    """Returns the normalised map with the group norm's gain and offset, as a depthwise 1x1 convolution."""
    given = arguments(node)
    if given["weight"] is None and given["bias"] is None:
        return normal
    gain, offset = gain_and_offset(graph, node)
    path = str((given["weight"] or given["bias"]).target).rpartition(".")[0]
    weight = graph.add_weight(f"{path}.scale".lstrip("."), gain.view(-1, 1, 1, 1))
    bias = graph.add_weight(f"{path}.shift".lstrip("."), offset)
    ones, zeros = [1, 1], [0, 0]
    return graph.call(aten.conv2d.default, normal, weight, bias, ones, zeros, ones, shape(node)[1], like=node)
