"""Writes a clamp between two tensors as a maximum and a minimum.

::

    clamp(x, low, high)   ->   minimum(maximum(x, low), high)

Why it hurts: coremltools 9.0 takes the minimum first. Where the lower bound lies above the upper one the result is
then the lower one, and PyTorch's is the upper one.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten


class ReplaceClamp(Rewrite):
    """``maximum`` and ``minimum``, in this order, in place of ``clamp`` with a tensor on each side."""

    name: ClassVar[str] = "replace_clamp"
    source: ClassVar[str] = "PyTorch's documentation of clamp: min(max(x, min), max)"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(aten.clamp, aten.clip) if has_two_tensors(node))

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        with graph.before(node):
            raised = graph.call(aten.maximum.default, given["self"], given["min"], like=node)
            graph.replace(node, graph.call(aten.minimum.default, raised, given["max"], like=node))


def has_two_tensors(node: Node) -> bool:
    """Tells whether both bounds of a clamp are tensors."""
    given = arguments(node)
    return isinstance(given["min"], Node) and isinstance(given["max"], Node)
