"""Raises the numbers of masks to one that half precision holds.

::

    softmax(scores + (1 - seen) * -3.4e38)   ->   softmax(scores + (1 - seen) * -32752)

and likewise masked_fill, where, and weights, if all that reads them is a softmax, by way of sums and movements.
Why it hurts: half precision ends at 65504. What is lower becomes minus infinity there, and 0 * -inf is NaN: Core ML's
file of a mask that is computed so has nothing else. Weighed by a softmax both numbers are 0. Where a query may look at
nothing they are not, and the proof of the rewrite takes it back.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, is_call
from mobilevit_deploy.graph.masking import LOWEST, masking_nodes
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

RAISED = LOWEST / 2  # scores are added to it, and more masks
MAKING = (aten.masked_fill, aten.where, aten.full, aten.full_like)
# A factor is one of what is masked, 0 or 1, if it is so low that no small score times it could be one.
LOWEST_FACTOR = -1e8


class RaiseMasks(Rewrite):
    """A number that half precision holds in the place of a lower one in masks."""

    name: ClassVar[str] = "raise_masks"
    source: ClassVar[str] = "IEEE 754 binary16: its least number is -65504"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        masking = masking_nodes(graph)
        return [node for node in graph.nodes if node in masking and any(map(_is_low, _numbers(graph, node)))]

    def rewrite(self, graph: Graph, node: Node) -> None:
        weight = graph.weight(node)
        if weight is not None:
            low = (weight < LOWEST) & weight.isfinite()
            with graph.before(node):
                raised = graph.add_weight(f"{node.target}_raised", weight.masked_fill(low, RAISED))
            graph.replace(node, raised)
            return
        node.args, node.kwargs = pytree.tree_map(
            lambda item: RAISED if _is_low(item) else item, (node.args, dict(node.kwargs))
        )


def _numbers(graph: Graph, node: Node) -> Iterator[object]:
    """Yields the numbers that a call names, or the least finite one of a weight."""
    weight = graph.weight(node)
    if weight is not None:
        if weight.is_floating_point() and weight.isfinite().any():
            yield float(weight[weight.isfinite()].min())
    elif is_call(node, *MAKING):
        yield from pytree.tree_leaves((node.args, dict(node.kwargs)))
    elif is_call(node, aten.mul):
        yield from (item for item in node.args if isinstance(item, float | int) and item < LOWEST_FACTOR)


def _is_low(item: Any) -> bool:
    return isinstance(item, float | int) and math.isfinite(item) and item < LOWEST
