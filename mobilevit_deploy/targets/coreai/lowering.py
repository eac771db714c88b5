"""Which ATen calls Core AI's converter takes: those of its own table, and what it takes apart to them before.

The table is asked of the process that Apple's code runs in, once.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Packet, arguments, is_call, shape
from mobilevit_deploy.targets.coreai.child import Child
from mobilevit_deploy.targets.lowering import (
    KnownCalls,
    ask_known_calls,
    divides_otherwise,
    has_boolean_mask,
    has_complex,
    measures_the_batch,
    takes_parts,
)

aten = torch.ops.aten


def takes(node: Node) -> bool:
    """Tells whether the converter takes a call of ATen."""
    known = _known().decompositions
    return not (has_complex(node) or _is_refused(node)) and (_registered(node) or takes_parts(node, _registered, known))


def _registered(node: Node) -> bool:
    if is_call(node, aten.native_batch_norm):  # which is another op in an exported program
        return not measures_the_batch(node)
    return not _is_refused(node) and str(node.target) in _known().calls


def _is_refused(node: Node) -> bool:
    return any(refuses(node) for packet, refuses in REFUSED.items() if is_call(node, packet))


def _has_uneven_windows(node: Node) -> bool:
    sizes = zip(shape(arguments(node)["self"])[-2:], shape(node)[-2:], strict=True)
    return any(before % after for before, after in sizes)


def _hangs_over(node: Node) -> bool:
    """Tells whether a pool's windows may reach beyond its image, or it divides by a number of its own."""
    return bool(arguments(node)["ceil_mode"]) or divides_otherwise(node)


# Forms that the converter refuses, or the runtime computes wrong; tests/targets/coreai/test_lowering.py holds them.
REFUSED: dict[Packet, Callable[[Node], bool]] = {
    aten.adaptive_avg_pool2d: _has_uneven_windows,  # "dim[2] 8 vs 9"
    aten.avg_pool2d: _hangs_over,  # as above
    aten.index_put: lambda _: True,  # the runtime ends: "Index 1 is out of bounds for dimension 0"
    aten.scaled_dot_product_attention: has_boolean_mask,  # a query that may look at nothing would look at all
}


@cache
def _known() -> KnownCalls:
    return ask_known_calls(Child(), torch.export.default_decompositions())
