"""Values that are there to be weighed as nothing by a softmax: scores with a mask, and masks of numbers.

What a mask adds to scores, -1e9 or the least float32, weighs nothing whatever it is exactly, as long as it is low.
"""

from collections.abc import Mapping

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call

aten = torch.ops.aten

LOWEST = torch.finfo(torch.float16).min  # of a score that is masked: finite in half precision, too
SOFTMAX = (aten.softmax, aten._softmax, aten._safe_softmax)
# What takes scores, or a mask, to a softmax, and leaves a low value low.
PASSING = (
    *(aten.add, aten.where, aten.masked_fill, aten.minimum, aten.clone, aten.contiguous, aten.to, aten._to_copy),
    *(aten.view, aten.reshape, aten.expand, aten.permute, aten.transpose, aten.unsqueeze, aten.squeeze, aten.flatten),
    *(aten.slice, aten.select, aten.cat, aten.repeat, aten.unflatten),
)


def masking_nodes(graph: Graph) -> set[Node]:
    """Returns the nodes of which every reader makes a weight of nothing in a softmax of a low value."""
    masking: dict[Node, bool] = {}
    for node in reversed(graph.nodes):
        masking[node] = bool(node.users) and all(_masks(node, reader, masking) for reader in node.users)
    return {node for node, masks in masking.items() if masks}


def _masks(node: Node, reader: Node, masking: Mapping[Node, bool]) -> bool:
    """Tells whether all that a reader makes of a low value of a node is a weight of nothing in a softmax."""
    if is_call(reader, aten.scaled_dot_product_attention):
        given = arguments(reader)
        return given["attn_mask"] is node and node not in (given["query"], given["key"], given["value"])
    return is_call(reader, *SOFTMAX) or (is_call(reader, *PASSING) and masking[reader])
