"""Writes the factor of a sum or difference out.

::

    add(x, y, alpha=a)    ->   x + y * a
    sub(x, y, alpha=a)    ->   x - y * a
    rsub(x, y, alpha=a)   ->   y - x * a

Why it hurts: coremltools 9.0, coming from ``torch.export``, does not read ``alpha`` and converts ``x + y``.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

SUMS = (aten.add, aten.add_, aten.sub, aten.sub_, aten.rsub)


class ReplaceAlpha(Rewrite):
    """A product and a sum in place of a sum with ``alpha``; what is computed in place stays in place."""

    name: ClassVar[str] = "replace_alpha"
    source: ClassVar[str] = "PyTorch's definitions of add, sub and rsub"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(*SUMS) if has_alpha(node))

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        first, second, alpha = given["self"], given["other"], given["alpha"]
        with graph.before(node):
            if is_call(node, aten.rsub):
                first = graph.call(aten.mul.Tensor, first, alpha, like=node)
            elif isinstance(second, Node):
                second = graph.call(aten.mul.Tensor, second, alpha, like=node)
            else:
                second = second * alpha
        node.args, node.kwargs = (first, second), {}


def has_alpha(node: Node) -> bool:
    """Tells whether a sum scales one of its operands."""
    return bool(arguments(node).get("alpha", 1) != 1)
