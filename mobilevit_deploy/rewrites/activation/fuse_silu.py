"""Recognises a SiLU (swish) that is written out.

::

    x * sigmoid(x), sigmoid(x) * x   ->   silu(x)

Research code often writes it as a ``torch.autograd.Function`` that saves memory in training; ``torch.export`` keeps
of that the two ops of its forward. Why it hurts: two elementwise ops for Core ML's one. ONNX has no such op at
opset 20, and the exporter writes Sigmoid and Mul again, which costs nothing.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class FuseSilu(Rewrite):
    """One ``silu`` op in place of a product with the own sigmoid."""

    name: ClassVar[str] = "fuse_silu"
    source: ClassVar[str] = "Ramachandran et al., arXiv 1710.05941, equation of swish with beta = 1"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.sigmoid)

    def rewrite(self, graph: Graph, node: Node) -> None:
        x = node.args[0]
        products = [reader for reader in readers(node) if _multiplies(reader, x, node)]
        if not products:
            raise Refusal("the sigmoid is not multiplied by its own argument")
        for product in products:
            with graph.before(product):
                graph.replace(product, graph.call(aten.silu.default, x, like=product))


def _multiplies(node: Node, x: object, gate: Node) -> bool:
    if not is_call(node, aten.mul):
        return False
    given = arguments(node)
    return (given["self"], given["other"]) in ((x, gate), (gate, x))
