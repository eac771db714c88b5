"""What ``lowering.py`` of a target's package needs: whether a converter takes what it takes a call apart to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import arguments, op_name, shape
from mobilevit_deploy.rewrites.decomposition import Indecomposable, Table, take_apart
from mobilevit_deploy.targets.native_child import NativeChild

Registered = Callable[[Node], bool]
# By converter and form of a call: blocks repeat, several passes ask, and taking a call apart means tracing it
# (lightvit_tiny for ExecuTorch: 2.8 s without, each time).
_KNOWN: dict[tuple[Registered, object, str], bool] = {}


def takes_parts(node: Node, registered: Registered, table: Table) -> bool:
    """Tells whether a converter takes all that it takes a call apart to.

    Args:
        node: a call of ATen that is not registered.
        registered: tells whether a call is.
        table: the converter's decompositions. Composite ops are taken apart without one.
    """
    form = (registered, node.target, repr(_form(node)))
    if form not in _KNOWN:
        try:
            parts = take_apart(node, table)
        except Indecomposable:
            _KNOWN[form] = False
        else:
            _KNOWN[form] = all(registered(part) for part in parts.nodes if op_name(part))
    return _KNOWN[form]


def _form(node: Node) -> Any:
    """Returns a call's arguments, with what is known of each tensor before it is computed in its place."""

    def describe(value: Any) -> Any:
        return (tuple(value.shape), value.stride(), value.dtype) if isinstance(value, torch.Tensor) else value

    return pytree.tree_map_only(
        Node, lambda item: pytree.tree_map(describe, item.meta.get("val")), (node.args, node.kwargs)
    )


@dataclass(frozen=True)
class KnownCalls:
    """What a converter has a form for, such as ``aten.add.Tensor``, and what it takes apart before that."""

    calls: frozenset[str]
    decompositions: Table


def ask_known_calls(child: NativeChild, known: Table) -> KnownCalls:
    """Asks the process that a converter runs in for its own tables, and ends it.

    Args:
        child: that answers ``lowerings``.
        known: PyTorch's decompositions, of which those count that the converter uses.
    """
    try:
        answer = child.ask("lowerings")
    finally:
        child.close()
    apart = frozenset(answer["apart"])
    table = {op: function for op, function in known.items() if str(op) in apart}
    return KnownCalls(frozenset(answer["calls"]), table)


def has_boolean_mask(node: Node) -> bool:
    """Tells whether attention has a mask of what is seen: where that is nothing, PyTorch returns zeros."""
    mask = arguments(node)["attn_mask"]
    return mask is not None and mask.meta["val"].dtype == torch.bool


def cuts_off(node: Node) -> bool:
    """Tells whether a padding is negative on a side."""
    return min(arguments(node)["pad"], default=0) < 0


def measures_the_batch(node: Node) -> bool:
    """Tells whether a batch norm takes the statistics of what it is given, as in training."""
    return bool(arguments(node)["training"])


def divides_otherwise(node: Node) -> bool:
    """Tells whether a pool divides by another number than that of its pixels."""
    return arguments(node)["divisor_override"] is not None


def has_vector_weight(node: Node) -> bool:
    """Tells whether a linear layer's weight has one axis, and its result one less than what it reads."""
    return len(shape(arguments(node)["weight"])) == 1


def has_complex(node: Node) -> bool:
    """Tells whether a call reads or returns complex numbers, which no target has."""
    tensors = [item.meta.get("val") for item in (node, *node.all_input_nodes)]
    return any(isinstance(tensor, torch.Tensor) and tensor.is_complex() for tensor in tensors)
