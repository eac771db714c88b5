"""Writes the tanh approximation of GELU out.

::

    gelu(x, approximate="tanh")   ->   0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))

Why it hurts: coremltools 9.0 converts the op, coming from ``torch.export``, to the exact GELU without a word
(measured: outputs differ by up to 5e-4). Spelled out, its own pass finds the form again and writes MIL's
``gelu`` with ``mode="TANH_APPROXIMATION"``.
"""

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten


class DecomposeTanhGelu(Rewrite):
    """Elementary ops in place of the tanh form of ``gelu``, so that no converter takes it for the exact one."""

    name: ClassVar[str] = "decompose_tanh_gelu"
    source: ClassVar[str] = "PyTorch's definition of gelu(approximate='tanh')"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(aten.gelu) if arguments(node)["approximate"] == "tanh")

    def rewrite(self, graph: Graph, node: Node) -> None:
        x = arguments(node)["self"]
        with graph.before(node):
            cubed = graph.call(aten.pow.Tensor_Scalar, x, 3, like=node)
            cubic = graph.call(aten.mul.Tensor, cubed, 0.044715, like=node)
            inner = graph.call(aten.add.Tensor, x, cubic, like=node)
            scaled = graph.call(aten.mul.Tensor, inner, math.sqrt(2 / math.pi), like=node)
            tanh = graph.call(aten.tanh.default, scaled, like=node)
            plus_one = graph.call(aten.add.Tensor, tanh, 1.0, like=node)
            half = graph.call(aten.mul.Tensor, x, 0.5, like=node)
            graph.replace(node, graph.call(aten.mul.Tensor, half, plus_one, like=node))
