"""Chains of calls that only rearrange a tensor: followed up and down the graph, and written anew."""

from collections.abc import Iterator, Sequence

import torch
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import Step
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape

aten = torch.ops.aten

RESHAPES = (aten.view, aten.reshape, aten._unsafe_view, aten.flatten, aten.unflatten, aten.unsqueeze, aten.squeeze)
PERMUTATIONS = (
    aten.permute,
    aten.transpose,
    aten.mT,
    aten.swapaxes,
    aten.swapdims,
    aten.movedim,
    aten.moveaxis,
    aten.t,
)


def moves(node: object) -> bool:
    """Tells whether a node only moves elements: ``view`` to another dtype does not, and without elements none does."""
    if not isinstance(node, Node) or not is_call(node, *RESHAPES, *PERMUTATIONS) or node.target is aten.view.dtype:
        return False
    return 0 not in shape(node)


def step_of(node: Node) -> Step:
    """Returns what a call that ``moves`` does."""
    if is_call(node, *RESHAPES):
        return Step("reshape", shape(node))
    x = node.args[0]
    assert isinstance(x, Node)  # the first argument of each of these ops is a tensor
    # The op itself says how it moves the axes, on a tensor whose axes tell by their lengths which is which.
    rest = {key: value for key, value in arguments(node).items() if key != "self"}
    probe = torch.empty(*range(2, 2 + len(shape(x))), device="meta")
    assert isinstance(node.target, torch._ops.OpOverload)  # is_call has looked
    return Step("permute", tuple(length - 2 for length in node.target(probe, **rest).shape))


def chain_above(node: Node) -> tuple[Node, list[Step]]:
    """Returns the tensor that a node is a rearrangement of, and the steps from it; the node itself and none if none."""
    steps: list[Step] = []
    while moves(node):
        steps.insert(0, step_of(node))
        assert isinstance(node.args[0], Node)  # the first argument of each of these ops is a tensor
        node = node.args[0]
    return node, steps


def chains_below(node: Node) -> Iterator[tuple[Node, Node, list[Step]]]:
    """Yields every reader that computes with a tensor or a rearrangement of it, what it reads, and the steps there."""
    for reader in readers(node):
        if not moves(reader):
            yield reader, node, []
            continue
        for leaf, read, steps in chains_below(reader):
            yield leaf, read, [step_of(reader), *steps]


def write_steps(graph: Graph, x: Node, steps: Sequence[Step], like: Node) -> Node:
    """Adds the calls of a chain behind ``x`` and returns the last; where to is up to ``graph.before``."""
    for step in steps:
        op = aten.reshape.default if step.kind == "reshape" else aten.permute.default
        x = graph.call(op, x, list(step.values), like=like)
    return x
