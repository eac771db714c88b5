"""Which ATen calls Core AI's converter takes: those of its own table, and what it takes apart to them before.

The table is asked of the process that Apple's code runs in, once.
"""

from functools import cache

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import arguments, is_call
from mobilevit_deploy.targets.coreai.child import Child
from mobilevit_deploy.targets.lowering import KnownCalls, ask_known_calls, has_complex, takes_parts


def takes(node: Node) -> bool:
    """Tells whether the converter takes a call of ATen."""
    return not has_complex(node) and (_registered(node) or takes_parts(node, _registered, _known().decompositions))


def _registered(node: Node) -> bool:
    if is_call(node, torch.ops.aten.native_batch_norm):  # which is another op in an exported program
        return not arguments(node)["training"]
    if is_call(node, torch.ops.aten.index_put):  # the runtime ends: "Index 1 is out of bounds for dimension 0"
        return False
    return str(node.target) in _known().calls


@cache
def _known() -> KnownCalls:
    return ask_known_calls(Child(), torch.export.default_decompositions())
