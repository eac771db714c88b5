"""Writes a log softmax out, stable as PyTorch computes it.

::

    log_softmax(x)   ->   s - log(sum(exp(s)))        with s = x - max(x)

Why it hurts: coremltools 9.0 takes the logarithm of a softmax. Half precision has no probability below 6e-8, so what
lies below -16.6 becomes minus infinity, and below -9.7 digits are lost; in float32 below -103 and -87.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceLogSoftmax(Rewrite):
    """Elementary ops in place of ``log_softmax``; none of them takes the logarithm of less than 1."""

    name: ClassVar[str] = "replace_log_softmax"
    source: ClassVar[str] = "the log-sum-exp identity; Blanchard, Higham and Higham, IMA J. Numer. Anal. 41 (2021)"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.log_softmax, aten._log_softmax)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x, axis = given["self"], given["dim"]
        if x.meta["val"].dtype != node.meta["val"].dtype:
            raise Refusal("it converts to another number type")
        with graph.before(node):
            largest = graph.call(aten.amax.default, x, [axis], True, like=node)
            shifted = graph.call(aten.sub.Tensor, x, largest, like=node)
            exponentials = graph.call(aten.exp.default, shifted, like=node)
            total = graph.call(aten.sum.dim_IntList, exponentials, [axis], True, like=node)
            logarithm = graph.call(aten.log.default, total, like=node)
            graph.replace(node, graph.call(aten.sub.Tensor, shifted, logarithm, like=node))
