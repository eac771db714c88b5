"""Splits a layer whose output is unbound along an axis that divides its channels.

::

    q, k, v = unbind(transpose(reshape(conv(x), (B, 3, h, d, N)), -2, -1), 1)
        ->   transpose(reshape(conv_q(x), (B, h, d, N)), -2, -1), and likewise for k, v
    q, k, v = unbind(permute(reshape(linear(x), (B, N, 3, h, d)), [2, 0, 3, 1, 4]), 0)
        ->   permute(reshape(linear_q(x), (B, N, h, d)), [0, 2, 1, 3]), and likewise for k, v

``t[0], t[1], t[2]`` is the same as ``unbind``. The output may be rearranged and cut in several places, such as
once for windows and once for the whole map: equal parts are computed once, and those that nothing reads not at all.

Why it hurts: the tensor in between has rank 5, one more than the Neural Engine likes, and cutting it copies
each part (ONNX: a Gather or Split and a Squeeze each). See ``sort_tokens`` for what it gains.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import Movement, Step, Unfactorable, axes_of, follow, plan, without
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.graph.movement_chains import chains_below, write_steps
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import CONVOLUTIONS, layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

CUTS = (aten.unbind, aten.select)
HIGHEST_RANK = 8  # of one permutation; flatten_windows writes those above five axes in two


@dataclass(frozen=True)
class _Cut:
    """A place where a layer's output, rearranged, is cut.

    Attributes:
        movement: from the layer's output to the tensor that is cut.
        axis: of that tensor.
        parts: which the model reads, and the place of each along the axis.
    """

    movement: Movement
    axis: int
    parts: list[tuple[Node, int]]


class SplitUnboundConvolution(Rewrite):
    """One convolution or linear layer per part, each reshaped without the axis that was unbound."""

    name: ClassVar[str] = "split_unbound_convolution"
    source: ClassVar[str] = "a layer's output channels do not depend on each other"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(*CONVOLUTIONS, aten.linear):
            if any(steps and is_call(reader, *CUTS) for reader, _, steps in chains_below(node)):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        weight, bias = layer_weights(graph, node)
        cuts = _cuts(node)
        if is_call(node, *CONVOLUTIONS) and arguments(node)["groups"] != 1:
            raise Refusal("the convolution is grouped: a part reads only some of the input channels")
        rows = [_rows(node, cut) for cut in cuts]  # (parts, channels of each)
        ways = [_way(node, cut) for cut in cuts]
        layers: dict[tuple[int, ...], Node] = {}
        for cut, channels, steps in zip(cuts, rows, ways, strict=True):
            for part, index in cut.parts:
                key = tuple(channels[index].tolist())
                if key not in layers:
                    with graph.before(node):
                        layers[key] = self._layer(graph, node, weight, bias, channels[index], index)
                with graph.before(part):
                    graph.replace(part, write_steps(graph, layers[key], steps, like=part))

    def _layer(self, graph: Graph, layer: Node, weight: Tensor, bias: Tensor | None, rows: Tensor, index: int) -> Node:
        name = f"{arguments(layer)['weight'].target}_{index}"
        op = layer.target
        assert isinstance(op, torch._ops.OpOverload)  # candidates() has looked
        part_weight = graph.add_weight(name, weight[rows])
        part_bias = None if bias is None else graph.add_weight(f"{name}_bias", bias[rows])
        return graph.call(op, layer.args[0], part_weight, part_bias, *layer.args[3:], like=layer)


def _cuts(layer: Node) -> list[_Cut]:
    cuts = []
    for reader, _, steps in chains_below(layer):
        if not is_call(reader, *CUTS):
            raise Refusal("the layer's output is read uncut too")
        try:
            movement = follow(shape(layer), steps)
        except Unfactorable as error:
            raise Refusal("the axis does not divide the channels: a reshape cuts across them") from error
        given = arguments(reader)
        axis = given["dim"] % len(movement.after)
        if is_call(reader, aten.select):
            parts = [(reader, given["index"] % movement.after[axis])]
        else:
            assert all(part.target is operator.getitem for part in readers(reader))  # the only way to read a list
            parts = [(part, int(part.args[1])) for part in readers(reader)]  # type: ignore[arg-type]  # a constant
        cuts.append(_Cut(movement, axis, parts))
    return cuts


def _channel_axis(layer: Node) -> int:
    """Returns where the channels stand: in front of as many axes as a weight (out, in, ...) has of space."""
    return len(shape(layer)) - len(shape(arguments(layer)["weight"])) + 1


def _rows(layer: Node, cut: _Cut) -> Tensor:
    """Returns which output channels each part takes, (parts, channels / parts)."""
    before, channel_axis = shape(layer), _channel_axis(layer)
    first, last = prod(before[:channel_axis]), prod(before[: channel_axis + 1])
    atoms = cut.movement.atoms
    within = [i for i in range(len(atoms)) if first <= prod(atoms[:i]) < last]
    taken = axes_of(cut.movement)[cut.axis]
    if not set(taken) <= set(within):
        raise Refusal("the axis does not divide the channels")
    channels = torch.arange(before[channel_axis]).view([atoms[i] for i in within])
    places = [within.index(atom) for atom in taken]
    return channels.movedim(places, list(range(len(places)))).reshape(cut.movement.after[cut.axis], -1)


def _way(layer: Node, cut: _Cut) -> list[Step]:
    """Returns how to reshape and permute one part's output as the whole was, without the axis that was cut."""
    before = list(shape(layer))
    before[_channel_axis(layer)] //= cut.movement.after[cut.axis]
    steps = plan(without(cut.movement, cut.axis, tuple(before)), HIGHEST_RANK)
    if steps is None:
        raise Refusal(f"two permutations of {HIGHEST_RANK} axes do not make a part")
    return steps
