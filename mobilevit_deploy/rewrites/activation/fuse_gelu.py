"""Recognises a GELU that is written out, with the error function or with tanh.

::

    x * 0.5 * (1 + erf(x / sqrt(2)))                                   (in any order)   ->   gelu(x)
    x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))         (in any order)   ->   gelu(x, "tanh")

Why it hurts: five to eight elementwise kernels read and write the widest maps of the network. ONNX Runtime
fuses only ``(0.5 * x) * (1 + erf(...))`` and not the other orders, and its Gelu op of the tanh form takes 0.53
times the form with a sigmoid, ``x * sigmoid(...)``, which has fewer ops than that with tanh. The op for tanh
alone takes 0.46 times its form with a sigmoid, that for the sigmoid 0.54 times its form with tanh, so both are
left as they are (1.31.1, one thread, 64 maps of 56 x 56, medians of five alternating pairs).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, Packet, arguments, is_call, readers
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

# The argument of the inner function, and the name that PyTorch's gelu has for the form.
FORMS: Mapping[Packet, tuple[Callable[[Tensor], Tensor], str]] = {
    aten.erf: (lambda x: x / math.sqrt(2), "none"),
    aten.tanh: (lambda x: math.sqrt(2 / math.pi) * (x + 0.044715 * x**3), "tanh"),
}
ELEMENTARY = (aten.mul, aten.div, aten.add, aten.sub, aten.pow)
PROBE = torch.linspace(-3, 3, 61, dtype=torch.float64)


class FuseGelu(Rewrite):
    """One ``gelu`` op in place of a spelled-out form."""

    name: ClassVar[str] = "fuse_gelu"
    source: ClassVar[str] = "Hendrycks and Gimpel, arXiv 1606.08415: the exact GELU and its approximation by tanh"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(*FORMS) if _adds_one(_only_reader(node)))

    def rewrite(self, graph: Graph, node: Node) -> None:
        argument, approximate = next(form for op, form in FORMS.items() if is_call(node, op))
        plus_one = _only_reader(node)
        product = _only_reader(plus_one)
        while product is not None and is_call(product, aten.mul, aten.div):
            factors, constant = _factors(product)
            others = [item for item in factors if item is not plus_one]
            if len(factors) == 2 and len(others) == 1 and constant == 0.5:
                if not _computes(node.args[0], others[0], argument):
                    raise Refusal(f"what goes into {node.name} is not a GELU's argument")
                with graph.before(product):
                    gelu = graph.call(aten.gelu.default, others[0], like=product)
                    if approximate != "none":
                        gelu.kwargs = {"approximate": approximate}
                    graph.replace(product, gelu)
                return
            product = _only_reader(product)
        raise Refusal(f"1 + {node.name} is not multiplied by x / 2")


def _only_reader(node: object) -> Node | None:
    found = readers(node) if isinstance(node, Node) else []
    return found[0] if len(found) == 1 else None


def _computes(node: object, x: Node, function: Callable[[Tensor], Tensor]) -> bool:
    """Tells whether a node is a function of x alone, made of sums, products and powers with numbers."""
    values = _evaluate(node, x)
    return isinstance(values, Tensor) and torch.allclose(values, function(PROBE), rtol=1e-13, atol=1e-15)


def _evaluate(node: object, x: Node) -> object:
    """Returns a node's value where x is ``PROBE``; None when other tensors go into it."""
    if node is x:
        return PROBE
    if not isinstance(node, Node):
        return node
    if not is_call(node, *ELEMENTARY):
        return None
    operands = [_evaluate(operand, x) for operand in node.args]
    return None if None in operands else node.target(*operands, **node.kwargs)  # type: ignore[operator]


def _adds_one(node: Node | None) -> bool:
    if node is None or not is_call(node, aten.add):
        return False
    given = arguments(node)
    return given.get("alpha", 1) == 1 and 1 in (given["self"], given["other"])


def _factors(node: Node) -> tuple[list[Node], float]:
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
        elif is_call(operand, aten.mul, aten.div) and len(readers(operand)) == 1:
            inner, number = _factors(operand)
            nodes += inner
            constant *= number
        else:
            nodes.append(operand)
    return nodes, constant
