"""Writes a mean over tokens as a matrix product.

::

    mean(x, [-2], keepdim=True)   (B, N, C) to (B, 1, C)   ->   matmul(full((1, N), 1 / N), x)

Why it hurts: ONNX Runtime sums over an axis that is not the last by strides, on one core without the blocking of its
matrix product. Attention that gates channels by their mean does so in every block. What it gains was measured with
``drop_batch_axis``, see there.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceTokenMean(Rewrite):
    """``matmul`` with a row of 1 / N in place of ``mean`` over the last axis but one, of two or three axes."""

    name: ClassVar[str] = "replace_token_mean"
    source: ClassVar[str] = "the definition of a mean"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.mean):
            rank = len(shape(arguments(node)["self"]))
            if rank in (2, 3) and [axis % rank for axis in arguments(node).get("dim") or ()] == [rank - 2]:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x: Node = given["self"]
        if given["dtype"] is not None:
            raise Refusal("the mean changes the dtype")
        count = shape(x)[-2]
        row = torch.full((1, count), 1 / count, dtype=x.meta["val"].dtype)
        with graph.before(node):
            mean = graph.call(aten.matmul.default, graph.add_weight("mean_of_tokens", row), x, like=node)
            if not given["keepdim"]:
                mean = graph.call(aten.reshape.default, mean, list(shape(node)), like=node)
        graph.replace(node, mean)
