"""Which ATen calls Core AI's converter takes: those of its own table, and what it takes apart to them before.

The table is asked of the process that Apple's code runs in, once.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments, is_call
from mobilevit_deploy.rewrites.decomposition import Table
from mobilevit_deploy.targets.coreai.child import Child
from mobilevit_deploy.targets.lowering import has_complex, takes_parts


def takes(node: Node) -> bool:
    """Tells whether the converter takes a call of ATen."""
    return not has_complex(node) and (_registered(node) or takes_parts(node, _registered, _known().decompositions))


def _registered(node: Node) -> bool:
    if is_call(node, torch.ops.aten.native_batch_norm):  # which is another op in an exported program
        return not arguments(node)["training"]
    return str(node.target) in _known().calls


@dataclass(frozen=True)
class _Known:
    """What the converter has a form for, such as ``aten.add.Tensor``, and what it takes apart before that."""

    calls: frozenset[str]
    decompositions: Table


@cache
def _known() -> _Known:
    child = Child()
    try:
        answer = child.ask("lowerings")
    finally:
        child.close()
    apart = frozenset(answer["apart"])
    known: Table = torch.export.default_decompositions()
    table = {op: function for op, function in known.items() if str(op) in apart}
    return _Known(frozenset(answer["calls"]), table)
