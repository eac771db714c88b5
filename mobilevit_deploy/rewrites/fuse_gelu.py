"""Recognises a GELU that is written out.

::

    x * 0.5 * (1 + erf(x / sqrt(2)))   (in any order of the factors)   ->   gelu(x)

Why it hurts: five elementwise kernels read and write the widest maps of the network. ONNX Runtime fuses
only ``(0.5 * x) * (1 + erf(...))`` and not the other orders (measured, 1.31.1).
"""

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph import Graph, arguments, is_call, readers
from mobilevit_deploy.rewriting import Refusal, Rewrite

aten = torch.ops.aten


class FuseGelu(Rewrite):
    """One ``gelu`` op in place of the error function's spelled-out form."""

    name: ClassVar[str] = "fuse_gelu"
    source: ClassVar[str] = "Hendrycks and Gimpel, arXiv 1606.08415, equation of the exact GELU"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.erf)

    def rewrite(self, graph: Graph, node: Node) -> None:
        divided = node.args[0]
        x, factor = _scaled(divided)
        if x is None or not math.isclose(factor, math.sqrt(0.5), rel_tol=1e-9):
            raise Refusal("the error function's argument is not x / sqrt(2)")
        plus_one = _only_reader(node)
        if plus_one is None or not _adds_one(plus_one):
            raise Refusal("1 is not added to the error function")
        product = _only_reader(plus_one)
        while product is not None and is_call(product, aten.mul, aten.div):
            factors, constant = _factors(product)
            if sorted(item.name for item in factors) == sorted([x.name, plus_one.name]) and constant == 0.5:
                with graph.before(product):
                    graph.replace(product, graph.call(aten.gelu.default, x, like=product))
                return
            product = _only_reader(product)
        raise Refusal("1 + erf(x / sqrt(2)) is not multiplied by x / 2")


def _only_reader(node: Node) -> Node | None:
    found = readers(node)
    return found[0] if len(found) == 1 else None


def _scaled(node: object) -> tuple[Node | None, float]:
    """Returns x and c of ``x * c`` or ``x / (1 / c)`` with a number c."""
    if is_call(node, aten.mul, aten.div):
        assert isinstance(node, Node)  # is_call accepts nodes only
        factors, constant = _factors(node, deep=False)
        if len(factors) == 1:
            return factors[0], constant
    return None, math.nan


def _adds_one(node: Node) -> bool:
    if not is_call(node, aten.add):
        return False
    given = arguments(node)
    return given.get("alpha", 1) == 1 and 1 in (given["self"], given["other"])


def _factors(node: Node, deep: bool = True) -> tuple[list[Node], float]:
    """Returns the nodes and the number that a tree of products multiplies."""
    given = arguments(node)
    divides = is_call(node, aten.div)
    nodes: list[Node] = []
    constant = 1.0
    for i, operand in enumerate((given["self"], given["other"])):
        if isinstance(operand, (int, float)):
            constant = constant / operand if divides and i else constant * operand
        elif divides and i:
            return [node], 1.0
        elif deep and is_call(operand, aten.mul, aten.div) and len(readers(operand)) == 1:
            inner, number = _factors(operand)
            nodes += inner
            constant *= number
        else:
            nodes.append(operand)
    return nodes, constant
