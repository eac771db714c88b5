"""Takes the queries that a mask lets look at nothing out of an attention: their results are zeros.

::

    attention(q, k, v, mask)   ->   attention(q, k, v, mask with zeros in these rows) * (0 for these rows, 1 else)

for a mask of numbers that is a weight and has rows of minus infinity alone, as a padded sequence or a window beyond the
image has them. A boolean mask is for ``decompose_unsupported``.
Why it hurts: PyTorch returns zeros for such a query; the softmax that converters write has NaN, 0 / 0.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten


class ReplaceMaskedRows(Rewrite):
    """A mask without rows of minus infinity, and a product behind the attention."""

    name: ClassVar[str] = "replace_masked_rows"
    source: ClassVar[str] = "PyTorch's aten/src/ATen/native/transformers/attention.cpp, _safe_softmax"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.scaled_dot_product_attention):
            mask = graph.weight(arguments(node)["attn_mask"])
            if mask is not None and mask.is_floating_point() and bool(_masked(mask).any()):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        mask = graph.weight(given["attn_mask"])
        assert mask is not None  # candidates() has looked
        assert isinstance(node.target, torch._ops.OpOverload)
        rows, name = _masked(mask), str(given["attn_mask"].target)
        with graph.before(node):
            given["attn_mask"] = graph.add_weight(f"{name}_looking", mask.masked_fill(rows, 0.0))
            first = [given.pop(key) for key in ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")]
            attended = graph.call(node.target, *first, like=node, **given)
            looking = graph.add_weight(f"{name}_rows", rows.logical_not().to(mask.dtype))
            graph.replace(node, graph.call(aten.mul.Tensor, attended, looking, like=node))


def _masked(mask: Tensor) -> Tensor:
    """Returns which rows of (..., L, S) are minus infinity alone, (..., L, 1)."""
    return (mask == float("-inf")).all(-1, keepdim=True)
