"""Folds a group norm's gain and offset into the layers that read it.

::

    conv(group_norm(x, G, gain, offset), W, b)   ->   conv(group_norm(x, G), W * gain, b + W offset)

without zero padding, through average pools and means too, for any number of groups: gain and offset are per channel.
Why it hurts: converters write them as a product and a sum over the map.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import fold_into_layers_after
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class FoldGroupNormAffine(Rewrite):
    """A group norm without gain and offset, in front of layers that have them in their weights."""

    name: ClassVar[str] = "fold_group_norm_affine"
    source: ClassVar[str] = "linearity of the convolution; the second form of fold_batch_norm"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.group_norm):
            given = arguments(node)
            if given["weight"] is not None or given["bias"] is not None:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        gain, offset = gain_and_offset(graph, node)
        fold_into_layers_after(graph, node, gain, offset)
        given = arguments(node)
        with graph.before(node):
            eps, groups = given["eps"], given["num_groups"]
            plain = graph.call(aten.group_norm.default, given["input"], groups, None, None, eps, like=node)
        graph.replace(node, plain)


def gain_and_offset(graph: Graph, node: Node) -> tuple[Tensor, Tensor]:
    """Returns what a group norm multiplies with and adds, (C,) each; raises Refusal when they are computed."""
    given = arguments(node)
    channels = shape(node)[1]
    found = []
    for name, neutral in (("weight", torch.ones), ("bias", torch.zeros)):
        value = graph.weight(given[name])
        if value is None and given[name] is not None:
            raise Refusal("the norm's gain or offset is computed in the graph")
        found.append(neutral(channels, dtype=node.meta["val"].dtype) if value is None else value)
    return found[0], found[1]
