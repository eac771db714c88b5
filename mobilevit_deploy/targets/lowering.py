"""What ``lowering.py`` of a target's package needs: whether a converter takes what it takes a call apart to."""

from collections.abc import Callable

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.rewrites.decomposition import Indecomposable, Table, take_apart

Registered = Callable[[Node], bool]


def takes_parts(node: Node, registered: Registered, table: Table) -> bool:
    """Tells whether a converter takes all that it takes a call apart to.

    Args:
        node: a call of ATen that is not registered.
        registered: tells whether a call is.
        table: the converter's decompositions. Composite ops are taken apart without one.
    """
    try:
        parts = take_apart(node, table)
    except Indecomposable:
        return False
    return all(registered(part) for part in parts.nodes if op_name(part))


def has_complex(node: Node) -> bool:
    """Tells whether a call reads or returns complex numbers, which no target has."""
    tensors = [item.meta.get("val") for item in (node, *node.all_input_nodes)]
    return any(isinstance(tensor, torch.Tensor) and tensor.is_complex() for tensor in tensors)
