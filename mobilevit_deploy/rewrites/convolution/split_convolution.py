"""Splits a convolution whose output is cut into parts along the channels.

::

    q, k, v = chunk(conv(x, W, b), 3, dim=1)   ->   conv(x, W_q, b_q), conv(x, W_k, b_k), conv(x, W_v, b_v)

A grouped convolution in front of the cut, such as the depthwise one that follows the 1x1 in CloFormer, is
split together with what feeds it, down to a convolution that reads all channels.

Why it hurts: cutting copies the map, and in a blocked layout (ONNX Runtime's NCHWc) it first reorders it.
With three convolutions instead cas_vit_m went from 43.5 to 42.1 ms and cas_vit_xs from 15.2 to 14.3 ms
(ONNX Runtime 1.31.1, one thread). Splitting CloFormer's depthwise ones is neutral there (cloformer_xxs: 1.01,
0.94 to 1.08 in seven pairs), and leaves no slice for a phone to copy.
"""

import operator
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import CONVOLUTIONS, layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

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
        sizes = [part.shape[1] for part in node.meta["val"]]
        parts = [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]
        for rows in parts:
            _check(graph, convolution, rows)
        for part in readers(node):
            assert part.target is operator.getitem  # the only way to read a list
            index = int(part.args[1])  # type: ignore[arg-type]  # a constant index
            graph.replace(part, self._part(graph, convolution, index, parts[index]))

    def _part(self, graph: Graph, convolution: Node, index: int, rows: slice) -> Node:
        """Returns some of a convolution's output channels, computed from no other channels than they need."""
        op, given = convolution.target, arguments(convolution)
        assert isinstance(op, torch._ops.OpOverload)  # candidates() has looked
        weight, bias = layer_weights(graph, convolution)
        groups, source = given["groups"], given["input"]
        if groups > 1:
            source = self._part(graph, source, index, _read_by(convolution, rows))
            groups = groups * (rows.stop - rows.start) // len(weight)
        name = f"{given['weight'].target}_{index}"
        with graph.before(convolution):
            part_weight = graph.add_weight(name, weight[rows])
            part_bias = None if bias is None else graph.add_weight(f"{name}_bias", bias[rows])
            settings = (given["stride"], given["padding"], given["dilation"], groups)
            return graph.call(op, source, part_weight, part_bias, *settings, like=convolution)


def _read_by(convolution: Node, rows: slice) -> slice:
    """Returns the input channels that some output channels of a grouped convolution read."""
    given = arguments(convolution)
    outputs, inputs = (shape(node)[1] // given["groups"] for node in (convolution, given["input"]))
    return slice(rows.start // outputs * inputs, rows.stop // outputs * inputs)


def _check(graph: Graph, convolution: Node, rows: slice) -> None:
    """Raises Refusal unless the channels can be computed alone."""
    given = arguments(convolution)
    if len(readers(convolution)) != 1:
        raise Refusal("the convolution's output is read uncut too")
    layer_weights(graph, convolution)
    if given["groups"] == 1:
        return
    outputs = shape(convolution)[1] // given["groups"]
    if rows.start % outputs or rows.stop % outputs:
        raise Refusal("the convolution is grouped, and the cut goes through a group")
    if not is_call(given["input"], *CONVOLUTIONS):
        raise Refusal("the convolution is grouped, so what it reads would have to be cut in its place")
    _check(graph, given["input"], _read_by(convolution, rows))
