"""Merges linear layers of one input whose outputs are added or averaged.

::

    (linear(x, W1, b1) + linear(x, W2, b2)) / 2   ->   linear(x, (W1 + W2) / 2, (b1 + b2) / 2)

Why it hurts: a classifier trained with distillation has two heads, and inference averages them: twice the
product, twice the weights in the file.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class MergeLinears(Rewrite):
    """One ``linear`` in place of a sum of two; a number that scales a sum or a part goes into the weights."""

    name: ClassVar[str] = "merge_linears"
    source: ClassVar[str] = "distributivity of the matrix product"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.add):
            given = arguments(node)
            if _linear(given["self"])[0] is not None and _linear(given["other"])[0] is not None:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given["alpha"] != 1:
            raise Refusal("the sum scales its second part by alpha")
        parts = [_linear(given["self"]), _linear(given["other"])]
        inputs = {linear.args[0] for linear, _ in parts if linear is not None}
        if len(inputs) != 1:
            raise Refusal("the two linear layers read different tensors")
        end, scale = _scaled_readers(node)
        weight, bias = torch.zeros(()), None
        for linear, factor in parts:
            assert linear is not None  # candidates() has looked
            part_weight, part_bias = layer_weights(graph, linear)
            if weight.shape not in ((), part_weight.shape):
                raise Refusal("the two linear layers have weights of different shapes")
            weight = weight + scale * factor * part_weight
            if part_bias is not None:
                bias = scale * factor * part_bias + (0 if bias is None else bias)
        first = parts[0][0]
        assert first is not None  # as above
        graph.set_weights(first, weight, bias)
        graph.replace(end, first)


def _linear(node: object) -> tuple[Node | None, float]:
    """Returns the linear call behind a node that only its sum reads, and the number that scales it."""
    scale = 1.0
    while is_call(node, aten.mul, aten.div):
        assert isinstance(node, Node)  # is_call accepts nodes only
        factor = _number(node)
        if factor is None or len(readers(node)) != 1:
            return None, scale
        scale *= factor
        node = node.args[0]
    if isinstance(node, Node) and is_call(node, aten.linear) and len(readers(node)) == 1:
        return node, scale
    return None, scale


def _number(node: Node) -> float | None:
    """Returns c of ``x * c`` or ``x / (1 / c)``, where c is a number."""
    given = arguments(node)
    other = given["other"]
    if not isinstance(other, (int, float)) or given.get("rounding_mode") is not None:
        return None
    return 1 / other if is_call(node, aten.div) else float(other)


def _scaled_readers(node: Node) -> tuple[Node, float]:
    """Follows multiplications by a number behind a node; returns the last of them and their product."""
    scale = 1.0
    while len(found := readers(node)) == 1 and is_call(found[0], aten.mul, aten.div) and found[0].args[0] is node:
        factor = _number(found[0])
        if factor is None:
            break
        node, scale = found[0], scale * factor
    return node, scale
