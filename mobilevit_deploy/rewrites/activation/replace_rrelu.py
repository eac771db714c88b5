"""Writes a randomized leaky ReLU in evaluation as the leaky ReLU that it is.

::

    rrelu(x, lower, upper, training=False)   ->   leaky_relu(x, (lower + upper) / 2)

Why it hurts: in training the slope is drawn anew for every element, in evaluation it is the mean of its range. No
converter has the op.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceRrelu(Rewrite):
    """``leaky_relu`` with the mean slope."""

    name: ClassVar[str] = "replace_rrelu"
    source: ClassVar[str] = "PyTorch's definition of rrelu in evaluation"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.rrelu)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given["training"]:
            raise Refusal("the slope is random: the model was captured in training mode")
        slope = (given["lower"] + given["upper"]) / 2
        with graph.before(node):
            graph.replace(node, graph.call(aten.leaky_relu.default, given["self"], slope, like=node))
