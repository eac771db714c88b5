"""Splits a layer whose output is unbound along an axis that divides its channels.

::

    q, k, v = unbind(transpose(reshape(conv(x), (B, 3, h, d, N)), -2, -1), 1)
        ->   transpose(reshape(conv_q(x), (B, h, d, N)), -2, -1), and likewise for k, v
    q, k, v = unbind(permute(reshape(linear(x), (B, N, 3, h, d)), [2, 0, 3, 1, 4]), 0)
        ->   permute(reshape(linear_q(x), (B, N, h, d)), [0, 2, 1, 3]), and likewise for k, v

``t[0], t[1], t[2]`` is the same as ``unbind``. Why it hurts: the tensor in between has rank 5, one more than the
Neural Engine likes, and cutting it copies each part (ONNX: a Gather or Split and a Squeeze each).
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.fold_batch_norm import CONVOLUTIONS, layer_weights
from mobilevit_deploy.rewrites.merge_views import PERMUTATIONS, permutation
from mobilevit_deploy.rewriting import Refusal, Rewrite

aten = torch.ops.aten

RESHAPES = (aten.view, aten.reshape, aten.flatten, aten.unflatten)


@dataclass(frozen=True)
class _Chain:
    """A layer, the reshape of its output, and which axis of that each axis of the cut tensor is."""

    layer: Node
    reshaped: Node
    axes: list[int]


class SplitUnboundConvolution(Rewrite):
    """One convolution or linear layer per part, each reshaped without the axis that was unbound."""

    name: ClassVar[str] = "split_unbound_convolution"
    source: ClassVar[str] = "a layer's output channels do not depend on each other"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        seen = set()
        for node in graph.calls(aten.unbind, aten.select):
            cut = node.args[0]
            if isinstance(cut, Node) and cut not in seen and _chain(cut) is not None:
                seen.add(cut)
                yield cut

    def rewrite(self, graph: Graph, node: Node) -> None:
        chain = _chain(node)
        assert chain is not None  # candidates() has looked
        axis, parts = _parts(node)
        if any(len(readers(item)) != 1 for item in _between(node, chain.layer)):
            raise Refusal("the layer's output is read uncut too")
        if is_call(chain.layer, *CONVOLUTIONS) and arguments(chain.layer)["groups"] != 1:
            raise Refusal("the convolution is grouped: a part reads only some of the input channels")
        rows = _rows(chain, chain.axes[axis])  # (parts, channels of each)
        weight, bias = layer_weights(graph, chain.layer)
        for part, index in parts:
            with graph.before(chain.layer):
                layer = self._layer(graph, chain.layer, weight, bias, rows[index], index)
            with graph.before(part):
                graph.replace(part, _rearranged(graph, layer, chain, axis, part))

    def _layer(self, graph: Graph, layer: Node, weight: Tensor, bias: Tensor | None, rows: Tensor, index: int) -> Node:
        name = f"{arguments(layer)['weight'].target}_{index}"
        op = layer.target
        assert isinstance(op, torch._ops.OpOverload)  # candidates() has looked
        part_weight = graph.add_weight(name, weight[rows])
        part_bias = None if bias is None else graph.add_weight(f"{name}_bias", bias[rows])
        return graph.call(op, layer.args[0], part_weight, part_bias, *layer.args[3:], like=layer)


def _chain(cut: Node) -> _Chain | None:
    """Returns the layer behind a tensor that is cut, through permutations and then reshapes."""
    axes = list(range(len(shape(cut))))
    node: object = cut
    while is_call(node, *PERMUTATIONS):
        assert isinstance(node, Node)  # is_call accepts nodes only
        axes = [permutation(node)[axis] for axis in axes]
        node = node.args[0]
    if not isinstance(node, Node) or not is_call(node, *RESHAPES):
        return None
    layer = node.args[0]
    while is_call(layer, *RESHAPES):
        assert isinstance(layer, Node)  # is_call accepts nodes only
        layer = layer.args[0]
    return _Chain(layer, node, axes) if is_call(layer, *CONVOLUTIONS, aten.linear) else None  # type: ignore[arg-type]


def _between(cut: Node, layer: Node) -> Iterable[Node]:
    """Yields the nodes from the one in front of the cut tensor to the layer."""
    node = cut
    while node is not layer:
        node = node.args[0]  # type: ignore[assignment]  # _chain() has looked
        yield node


def _parts(cut: Node) -> tuple[int, list[tuple[Node, int]]]:
    """Returns the axis along which a tensor is cut, and each part with its index."""
    rank = len(shape(cut))
    axes = set()
    parts = []
    for reader in readers(cut):
        if not is_call(reader, aten.unbind, aten.select):
            raise Refusal("the layer's output is read uncut too")
        given = arguments(reader)
        axes.add(given["dim"] % rank)
        if is_call(reader, aten.select):
            parts.append((reader, given["index"] % shape(cut)[given["dim"]]))
        else:
            assert all(part.target is operator.getitem for part in readers(reader))  # the only way to read a list
            parts += [(part, int(part.args[1])) for part in readers(reader)]  # type: ignore[arg-type]  # a constant
    if len(axes) != 1:
        raise Refusal("it is cut along several axes")
    return axes.pop(), parts


def _rows(chain: _Chain, axis: int) -> Tensor:
    """Returns which output channels each part takes, (parts, channels / parts); ``axis`` is of the reshape."""
    before, after = shape(chain.layer), shape(chain.reshaped)
    channel_axis = len(before) - 1 if is_call(chain.layer, aten.linear) else 1
    leading, trailing = prod(before[:channel_axis]), prod(before[channel_axis + 1 :])
    starts = [i for i in range(len(after) + 1) if prod(after[:i]) == leading]
    ends = [i for i in range(len(after) + 1) if prod(after[i:]) == trailing]
    if not starts or not ends or not starts[0] <= axis < ends[-1]:
        raise Refusal("the axis does not divide the channels")
    sizes = after[starts[0] : ends[-1]]
    channels = torch.arange(before[channel_axis]).view(sizes)
    return channels.movedim(axis - starts[0], 0).flatten(1)


def _rearranged(graph: Graph, layer: Node, chain: _Chain, axis: int, part: Node) -> Node:
    """Reshapes and permutes one part's output as the whole was, without the axis that was cut."""
    dropped = chain.axes[axis]
    sizes = [size for i, size in enumerate(shape(chain.reshaped)) if i != dropped]
    result = graph.call(aten.reshape.default, layer, sizes, like=chain.reshaped)
    axes = [i - (i > dropped) for i in chain.axes if i != dropped]
    return result if axes == sorted(axes) else graph.call(aten.permute.default, result, axes, like=part)
