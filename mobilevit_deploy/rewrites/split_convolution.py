"""Splits a convolution whose output is cut into parts along the channels.

::

    q, k, v = chunk(conv(x, W, b), 3, dim=1)   ->   conv(x, W_q, b_q), conv(x, W_k, b_k), conv(x, W_v, b_v)

Why it hurts: cutting copies the map, and in a blocked layout (ONNX Runtime's NCHWc) it first reorders it.
With three convolutions instead cas_vit_m went from 43.5 to 42.1 ms and cas_vit_xs from 15.2 to 14.3 ms
(ONNX Runtime 1.31.1, one thread).
"""

import operator
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.fold_batch_norm import CONVOLUTIONS, layer_weights
from mobilevit_deploy.rewriting import Refusal, Rewrite

aten = torch.ops.aten

CUTS = (aten.chunk, aten.split, aten.split_with_sizes, aten.tensor_split)


class SplitConvolution(Rewrite):
    """One convolution per part of the output channels, in place of one convolution and a cut."""

    name: ClassVar[str] = "split_convolution"
    source: ClassVar[str] = "a convolution's output channels do not depend on each other"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(*CUTS):
            if is_call(node.args[0], *CONVOLUTIONS):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        convolution = node.args[0]
        assert isinstance(convolution, Node)  # candidates() has looked
        if arguments(node)["dim"] % len(shape(convolution)) != 1:
            raise Refusal("the cut is not along the channels")
        if len(readers(convolution)) != 1:
            raise Refusal("the convolution's output is read uncut too")
        if arguments(convolution)["groups"] != 1:
            raise Refusal("the convolution is grouped: a part reads only some of the input channels")
        weight, bias = layer_weights(graph, convolution)
        sizes = [part.shape[1] for part in node.meta["val"]]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        name = str(arguments(convolution)["weight"].target)
        for part in readers(node):
            assert part.target is operator.getitem  # the only way to read a list
            index = int(part.args[1])  # type: ignore[arg-type]  # a constant index
            rows = slice(starts[index], starts[index] + sizes[index])
            graph.replace(part, self._part(graph, convolution, f"{name}_{index}", weight[rows], bias, rows))

    def _part(
        self, graph: Graph, convolution: Node, name: str, weight: Tensor, bias: Tensor | None, rows: slice
    ) -> Node:
        op = convolution.target
        assert isinstance(op, torch._ops.OpOverload)  # candidates() has looked
        with graph.before(convolution):
            part_weight = graph.add_weight(name, weight)
            part_bias = None if bias is None else graph.add_weight(f"{name}_bias", bias[rows])
            return graph.call(op, convolution.args[0], part_weight, part_bias, *convolution.args[3:], like=convolution)
