"""Calls that write into a tensor, as calls that return the new value; nothing else changes.

::

    relu_(x)                                   ->   relu(x), for all that reads x afterwards
    add_(state, x), state a buffer             ->   add(state, x); the model's state does not outlive a run

Where what was written to is afterwards read as another tensor, one of the same memory, this does not suffice:
``y[:, 0] = 0`` writes into ``y[:, 0]``, and y is read. PyTorch's own functionalization knows what to do then, and
spells some other calls anew on the way (see ``plain``).
"""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, writes
from mobilevit_deploy.graph.replay import Replay

aten = torch.ops.aten

Memory = dict[Node, set[int]]


class StillRead(Exception):  # noqa: N818 - an answer and not an error
    """What was written is read as another tensor of the same memory, or the call has no other form."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self.node = node


def remove_writes(graph: Graph) -> tuple[str, ...]:
    """Replaces every call that writes into a tensor, in place.

    Returns:
        The names of the weights that the model writes to, whose new values are not kept.

    Raises:
        StillRead: a call cannot be replaced alone; the calls in front of it have been.
    """
    calls = [node for node in graph.nodes if writes(node)]
    if not calls:
        return ()
    memory = _memory(graph, calls[0])
    written: dict[str, None] = {}
    for node in calls:
        target = _target(node)
        shared = [other for other, places in memory.items() if places & memory[target]]
        later = {other for other in graph.nodes if node < other}
        if any(later & set(other.users) for other in shared if other < node and other is not target):
            raise StillRead(node)
        with graph.before(node):
            value = _value(graph, node, target)
        memory[value] = memory[target]
        target.replace_all_uses_with(value, delete_user_cb=later.__contains__)
        node.replace_all_uses_with(value)
        graph.graph.erase_node(node)
        written |= {str(other.target): None for other in shared if other.op == "get_attr"}
    graph.remove_dead()
    return tuple(written)


def _memory(graph: Graph, first: Node) -> Memory:
    """Returns which memory every node's tensors lie in, from a run that computes nothing."""
    kept = []  # while they are, no memory is given out twice

    def places(value: object) -> set[int]:
        storages = [leaf.untyped_storage() for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
        kept.extend(storages)
        return {storage._cdata for storage in storages}

    memory: Memory = {}
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with FakeTensorMode():
        weights = {name: _empty(value) for name, value in graph.weights.items()}
        samples = {node: _empty(node.meta["val"]) for node in inputs}
        replay = Replay(graph.graph, weights, lambda node, value: memory.update({node: places(value)}), samples)
        try:
            replay.outputs(tuple(samples.values()))
        except Exception as error:  # an op that has no shape without values
            raise StillRead(first) from error
    memory.update({node: places(sample) for node, sample in samples.items()})
    memory.update({node: places(weights[str(node.target)]) for node in graph.nodes if node.op == "get_attr"})
    return memory


def _empty(value: Tensor) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)


def _target(node: Node) -> Node:
    """Returns the one tensor that a call writes to."""
    assert isinstance(node.target, torch._ops.OpOverload)  # writes() has looked
    parameters = [item for item in node.target._schema.arguments if item.alias_info and item.alias_info.is_write]
    found = [arguments(node)[item.name] for item in parameters]
    if len(found) != 1 or not isinstance(found[0], Node) or not isinstance(found[0].meta.get("val"), Tensor):
        raise StillRead(node)
    return found[0]


def spell_fills(graph: Graph) -> None:
    """Writes what functionalization makes of ``copy_``, ``fill_`` and ``zero_`` as converters know it."""
    for node in graph.calls(aten.copy, aten.fill, aten.zero):
        with graph.before(node):
            value = _value(graph, node, node.all_input_nodes[0])
        graph.replace(node, value)


def _value(graph: Graph, node: Node, target: Node) -> Node:
    """Adds what a call leaves in its target, in front of it."""
    given, before = arguments(node), target.meta["val"]
    if is_call(node, aten.copy_, aten.copy):
        value = given["src"]
    elif is_call(node, aten.zero_, aten.zero):
        return graph.call(aten.zeros_like.default, target, like=node)
    elif is_call(node, aten.fill_, aten.fill):
        value = given["value"]
        if not isinstance(value, Node):
            return graph.call(aten.full_like.default, target, value, like=node)
    else:
        value = graph.call(_pure(node), *node.args, like=node, **node.kwargs)
    assert isinstance(value, Node)  # the schemas say so
    if value.meta["val"].dtype != before.dtype:  # a write does not change the type of what is written to
        value = graph.call(aten.to.dtype, value, before.dtype, like=node)
    if value.meta["val"].shape != before.shape:
        value = graph.call(aten.expand.default, value, list(before.shape), like=node)
    return value


def _pure(node: Node) -> torch._ops.OpOverload:
    """Returns the op without the underscore, with the same arguments."""
    op: Any = node.target
    namespace, _, name = op._schema.name.partition("::")
    found = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    pure = getattr(found, op._overloadname, None)
    if not name.endswith("_") or pure is None or pure._schema.is_mutable:
        raise StillRead(node)
    if [item.name for item in pure._schema.arguments] != [item.name for item in op._schema.arguments]:
        raise StillRead(node)
    assert isinstance(pure, torch._ops.OpOverload)
    return pure
