"""Drops the bias of the layer that computes keys.

::

    softmax(q @ transpose(linear(x, W, b)))   ->   softmax(q @ transpose(linear(x, W)))

The bias adds ``q . b`` to every score of a query, and a softmax is the same when all of its inputs grow alike.
Scores may be scaled by numbers, and a mask or a relative position bias added. The layer may be a convolution.

Why it hurts: the bias is a pass over the keys. What it gains was measured with ``drop_batch_axis``, see there.
"""

from collections.abc import Iterable
from math import prod
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import Step, Unfactorable, axes_of, follow
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.graph.movement_chains import chains_below
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import CONVOLUTIONS, layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class DropKeyBias(Rewrite):
    """A linear layer or convolution without bias, where all that reads it are scores under a softmax over keys."""

    name: ClassVar[str] = "drop_key_bias"
    source: ClassVar[str] = "softmax(x + c) = softmax(x)"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.linear, *CONVOLUTIONS):
            if arguments(node)["bias"] is not None and any(
                _is_key(reader, read) for reader, read, _ in chains_below(node)
            ):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        for reader, read, steps in chains_below(node):
            if not _is_key(reader, read):
                raise Refusal("the layer's output is read by more than scores")
            if not _keys_are_tokens(node, steps):
                raise Refusal("the channels are not what the product sums over")
        weight, _ = layer_weights(graph, node)
        graph.set_weights(node, weight, None)


def _is_key(reader: Node, read: Node) -> bool:
    """Tells whether a reader multiplies queries with a tensor, and softmax alone reads the scores."""
    if not is_call(reader, aten.matmul, aten.bmm) or reader.args[1] is not read or reader.args[0] is read:
        return False
    return len(shape(read)) > 1 and bool(readers(reader)) and all(_is_softmax(item) for item in _behind(reader))


def _behind(scores: Node) -> Iterable[Node]:
    """Yields the readers of scores, through what keeps a constant along the keys constant."""
    for reader in readers(scores):
        given = arguments(reader) if is_call(reader, aten.add, aten.mul, aten.div) else {}
        scaled = is_call(reader, aten.mul, aten.div) and not isinstance(given["other"], Node)
        shifted = is_call(reader, aten.add) and given["self"] is not given["other"]
        if (scaled or shifted) and shape(reader) == shape(scores) and given.get("rounding_mode") is None:
            yield from _behind(reader)
        else:
            yield reader


def _is_softmax(node: Node) -> bool:
    return is_call(node, aten.softmax) and arguments(node)["dim"] % len(shape(node)) == len(shape(node)) - 1


def _keys_are_tokens(layer: Node, steps: list[Step]) -> bool:
    """Tells whether the last axis behind some steps holds no channels: the bias is the same for all keys."""
    before = shape(layer)
    axis = len(before) - 1 if is_call(layer, aten.linear) else 1
    try:
        movement = follow(before, steps)
    except Unfactorable:
        return False
    ends = prod(before[:axis]), prod(before[: axis + 1])
    channels = {i for i in range(len(movement.atoms)) if ends[0] <= prod(movement.atoms[:i]) < ends[1]}
    return not channels & set(axes_of(movement)[-1])
