"""Writes the threshold of a softplus out.

::

    softplus(x, beta, threshold)   ->   where(x * beta > threshold, x, softplus(x, beta))

Why it hurts: coremltools 9.0 does not read the threshold and converts ``log(1 + exp(x * beta)) / beta`` everywhere.
Above the threshold that is up to ``exp(-threshold) / beta`` too much: 2e-9 for the usual 20, and 0.3 for 1.
"""

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

NEGLIGIBLE = 2**-24  # half a unit in the last place of a float32 between 1 and 2


class ReplaceSoftplus(Rewrite):
    """``where`` and the plain op in place of ``softplus`` with a threshold that makes a difference."""

    name: ClassVar[str] = "replace_softplus"
    source: ClassVar[str] = "PyTorch's definition of softplus"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(aten.softplus) if has_low_threshold(node))

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x, beta = given["self"], given["beta"]
        with graph.before(node):
            scaled = graph.call(aten.mul.Tensor, x, beta, like=node)
            linear = graph.call(aten.gt.Scalar, scaled, given["threshold"], like=node)
            plain = graph.call(aten.softplus.default, x, beta, like=node)
            graph.replace(node, graph.call(aten.where.self, linear, x, plain, like=node))


def has_low_threshold(node: Node) -> bool:
    """Tells whether the threshold of a softplus changes float32 values."""
    return math.exp(-arguments(node)["threshold"]) > NEGLIGIBLE
