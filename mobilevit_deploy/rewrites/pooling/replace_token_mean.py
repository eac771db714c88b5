"""Writes a mean or sum over tokens as a matrix product.

::

    mean(x, [-2], keepdim=True)   (B, N, C) to (B, 1, C)   ->   matmul(full((1, N), 1 / N), x)
    sum(x, [-2], keepdim=True)                             ->   matmul(ones(1, N), x)

Why it hurts: ONNX Runtime sums over an axis that is not the last by strides, on one core without the blocking of its
matrix product, and one after the other, where PyTorch adds pairs. Attention that gates channels by their mean does so
in every block. What it gains was measured with ``drop_batch_axis``, see there. What it loses, of SwiftFormer's sum of
3136 tokens: 1.5e-6 of the largest (ONNX Runtime 1.31), and what stands behind made 1.3e-5 of that.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, op_name, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceTokenMean(Rewrite):
    """``matmul`` with a row of 1 / N, or of 1, in place of ``mean`` or ``sum`` over the last axis but one of 2 or 3."""

    name: ClassVar[str] = "replace_token_mean"
    source: ClassVar[str] = "the definitions of a mean and a sum"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.mean, aten.sum):
            rank = len(shape(arguments(node)["self"]))
            if rank in (2, 3) and [axis % rank for axis in arguments(node).get("dim") or ()] == [rank - 2]:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x: Node = given["self"]
        if given["dtype"] is not None:
            raise Refusal(f"the {op_name(node)} changes the dtype")
        if not x.meta["val"].is_floating_point():
            raise Refusal("whole numbers are no matrix product")
        count = shape(x)[-2]
        share = 1 / count if op_name(node) == "mean" else 1.0
        row = torch.full((1, count), share, dtype=x.meta["val"].dtype)
        with graph.before(node):
            mean = graph.call(aten.matmul.default, graph.add_weight(f"{op_name(node)}_of_tokens", row), x, like=node)
            if not given["keepdim"]:
                mean = graph.call(aten.reshape.default, mean, list(shape(node)), like=node)
        graph.replace(node, mean)
