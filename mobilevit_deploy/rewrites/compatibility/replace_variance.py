"""Names the axes and the correction of a variance or standard deviation.

::

    var(x)          ->   var(x, every axis, unbiased=True)
    var(x, axes)    ->   var(x, axes, unbiased=True)            likewise std

Why it hurts: coremltools 9.0, coming from ``torch.export``, takes a correction that is not given for 0. PyTorch means
1.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

OPS = (aten.var, aten.std)


class ReplaceVariance(Rewrite):
    """``var.dim`` and ``std.dim`` in place of forms that leave the correction open."""

    name: ClassVar[str] = "replace_variance"
    source: ClassVar[str] = "PyTorch's definitions of var and std"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(*OPS) if leaves_correction_open(node))

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        op = aten.std.dim if is_call(node, aten.std) else aten.var.dim
        with graph.before(node):
            axes = given["dim"] or list(range(len(shape(given["self"]))))
            graph.replace(node, graph.call(op, given["self"], axes, True, given["keepdim"], like=node))


def leaves_correction_open(node: Node) -> bool:
    """Tells whether neither a correction nor ``unbiased`` is a part of the call."""
    given = arguments(node)
    return "correction" in given and given["correction"] is None
