"""Writes reciprocals as quotients.

::

    reciprocal(x)   ->   1 / x                1 / x in Python is a reciprocal, too
    rsqrt(x)        ->   1 / sqrt(x)

Why it hurts: MIL's ``inverse`` adds an epsilon of 1e-4 to its input and ``rsqrt`` one of 1e-12, which coremltools 9.0
leaves as they are: an inverse of 0.1 is wrong by 1e-3. MIL's ``real_div`` and ``sqrt`` have none.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceReciprocal(Rewrite):
    """``div``, and ``sqrt`` in front of it, in place of ``reciprocal`` and ``rsqrt``."""

    name: ClassVar[str] = "replace_reciprocal"
    source: ClassVar[str] = "coremltools 9.0, mil/ops/defs/iOS15/elementwise_unary.py, inverse and rsqrt"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.reciprocal, aten.rsqrt)

    def rewrite(self, graph: Graph, node: Node) -> None:
        x: Node = arguments(node)["self"]
        if not x.meta["val"].is_floating_point():
            raise Refusal("the input has integers")
        with graph.before(node):
            one = graph.add_weight("one", torch.ones((), dtype=x.meta["val"].dtype))
            divisor = graph.call(aten.sqrt.default, x, like=node) if is_call(node, aten.rsqrt) else x
            graph.replace(node, graph.call(aten.div.Tensor, one, divisor, like=node))
