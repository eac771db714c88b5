"""Leaves the reduced axes of a mean over the map in place, and drops them behind it.

::

    mean(x, [2, 3])   (B, C, H, W) to (B, C)   ->   reshape(mean(x, [2, 3], keepdim=True), (B, C))

Why it hurts: XNNPACK takes a mean over height and width only where its result has four axes (ExecuTorch 1.5.1), so the
global pool in front of a classifier splits the graph in two parts and runs in a kernel of ExecuTorch's own.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class KeepReducedAxes(Rewrite):
    """``mean`` with ``keepdim`` and a reshape, over the last two of four axes."""

    name: ClassVar[str] = "keep_reduced_axes"
    source: ClassVar[str] = "executorch 1.5.1, MeanDimConfig of XNNPACK: keepdim, four axes, the last two"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.mean):
            given = arguments(node)
            rank = len(shape(given["self"]))
            axes = sorted(axis % max(rank, 1) for axis in given.get("dim") or ())  # a scalar has the axes 0 and -1
            if rank == 4 and axes == [2, 3] and not given["keepdim"]:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given["dtype"] is not None:
            raise Refusal("the mean changes the dtype")
        with graph.before(node):
            mean = graph.call(aten.mean.dim, given["self"], [2, 3], True, like=node)
            graph.replace(node, graph.call(aten.reshape.default, mean, list(shape(node)), like=node))
