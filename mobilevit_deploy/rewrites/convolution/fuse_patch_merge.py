"""Writes the gathering of neighbours by strided slices as a reshape and a permutation.

::

    cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        ->   reshape (B H/2, 2, W/2, 2, C), permute (0, 2, 3, 1, 4), reshape (B, H/2, W/2, 4 C)
    amax(stack([the same four]), 0)
        ->   reshape (B H/2, 2, W C), amax 1, reshape (B H/2 W/2, 2, C), amax 1

for any stride, axes and order of the slices that is a permutation.

Why it hurts: each strided slice reads single rows and elements that are far apart, and each of the four is
two ops. The maximum needs no transposition at all. On ONNX Runtime the time is the same (lightvit_tiny: 0.995,
0.97 to 1.02 in seven alternating pairs, one thread), with fewer nodes.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import Step, follow, plan
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.graph.movement_chains import write_steps
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class FusePatchMerge(Rewrite):
    """``reshape``, ``permute``, ``reshape``; or ``reshape`` and ``amax`` by axis for a maximum over the neighbours."""

    name: ClassVar[str] = "fuse_patch_merge"
    source: ClassVar[str] = "the definition: slices of stride s at every offset are an axis of length s"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.cat, aten.amax):
            parts = node if is_call(node, aten.cat) else node.args[0]
            if is_call(parts, aten.cat, aten.stack) and any(_strided(item) for item in arguments(parts)["tensors"]):  # type: ignore[arg-type]  # is_call accepts nodes only
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        with graph.before(node):
            new = _concatenated(graph, node) if is_call(node, aten.cat) else _maximum(graph, node)
        graph.replace(node, new)


@dataclass(frozen=True)
class Neighbours:
    """Slices of ``x``: with stride ``strides[axis]`` along each axis, at ``offsets`` of their own."""

    x: Node
    strides: dict[int, int]
    offsets: list[tuple[int, ...]]


def _strided(node: Node) -> bool:
    while is_call(node, aten.slice):
        if arguments(node)["step"] != 1:
            return True
        node = arguments(node)["self"]
    return False


def _read_slice(node: Node) -> tuple[Node, dict[int, tuple[int, int]]]:
    """Follows slices to the tensor that they cut; returns it, and (stride, offset) by axis."""
    found: dict[int, tuple[int, int]] = {}
    while is_call(node, aten.slice):
        given = arguments(node)
        x, axis, start, step = given["self"], given["dim"] % len(shape(node)), given["start"] or 0, given["step"]
        end = shape(x)[axis] if given["end"] is None else given["end"]
        if (start, step) != (0, 1) or end < shape(x)[axis]:
            if axis in found or start < 0 or end < shape(x)[axis] or shape(x)[axis] % step or start >= step:
                raise Refusal("a slice takes less than every s-th element")
            found[axis] = (step, start)
        node = x
    return node, found


def _neighbours(parts: list[Node]) -> Neighbours:
    slices = [_read_slice(part) for part in parts]
    x, first = slices[0]
    strides = {axis: first[axis][0] for axis in sorted(first)}
    for other, found in slices:
        if other is not x or {axis: found[axis][0] for axis in sorted(found)} != strides:
            raise Refusal("the parts are not slices of one tensor with the same strides")
    offsets = [tuple(found[axis][1] for axis in strides) for _, found in slices]
    if sorted(offsets) != list(itertools.product(*(range(step) for step in strides.values()))):
        raise Refusal("the slices do not take every element once")
    return Neighbours(x, strides, offsets)


def _concatenated(graph: Graph, node: Node) -> Node:
    given = arguments(node)
    found = _neighbours(given["tensors"])
    before, dim = shape(found.x), given["dim"] % len(shape(node))
    if 0 in before:
        raise Refusal("there are no elements to bring together")
    if dim in found.strides:
        raise Refusal("the slices are concatenated along an axis that they cut")
    nesting = _nesting(found)
    parts: list[int] = []
    place: dict[int, int] = {}  # of an axis among the parts
    for axis, length in enumerate(before):
        place[axis] = len(parts)
        parts += [length // found.strides[axis], found.strides[axis]] if axis in found.strides else [length]
    order: list[int] = []
    for axis in range(len(before)):
        if axis == dim:
            order += [place[strided] + 1 for strided in nesting]
        order.append(place[axis])
    steps = plan(
        follow(before, [Step("reshape", tuple(parts)), Step("permute", tuple(order)), Step("reshape", shape(node))])
    )
    if steps is None:
        raise Refusal("two permutations of five axes do not bring the neighbours together")
    return write_steps(graph, found.x, steps, like=node)


def _nesting(found: Neighbours) -> tuple[int, ...]:
    """Returns the axes, the one whose offset changes slowest first; raises Refusal when the order has no such axis."""
    axes = list(found.strides)
    for nesting in itertools.permutations(axes):
        counted = itertools.product(*(range(found.strides[axis]) for axis in nesting))
        ordered = [tuple(offset[nesting.index(axis)] for axis in axes) for offset in counted]
        if ordered == found.offsets:
            return nesting
    raise Refusal("the slices stand in an order that no permutation of axes gives")


def _maximum(graph: Graph, node: Node) -> Node:
    stack = node.args[0]
    assert isinstance(stack, Node)  # candidates() has looked
    if not is_call(stack, aten.stack):
        raise Refusal("the maximum is not over stacked slices")
    given = arguments(node)
    rank = len(shape(stack))
    if given["keepdim"] or [axis % rank for axis in given["dim"]] != [arguments(stack)["dim"] % rank]:
        raise Refusal("the maximum is not over the slices alone")
    found = _neighbours(arguments(stack)["tensors"])
    y, size = found.x, list(shape(found.x))
    for axis, step in found.strides.items():
        size[axis] //= step
        cut = [math.prod(size[: axis + 1]), step, math.prod(size[axis + 1 :])]
        y = graph.call(aten.reshape.default, y, cut, like=node)
        y = graph.call(aten.amax.default, y, [1], like=node)
    return graph.call(aten.reshape.default, y, size, like=node)
