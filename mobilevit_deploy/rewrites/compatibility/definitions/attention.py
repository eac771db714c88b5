"""Attention of any rank as attention of rank 4, and that as products and a softmax."""

import math

import torch
from torch import Tensor

from mobilevit_deploy.graph.masking import LOWEST
from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.scaled_dot_product_attention.default)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Returns the attention of (..., L, E) queries to (..., S, E) keys: (..., L, Ev).

    Source: the reference code in PyTorch's documentation of scaled_dot_product_attention.
    """
    if dropout_p:
        raise NotImplementedError("attention with dropout")
    if enable_gqa and query.shape[-3] != key.shape[-3]:
        key, value = _each_head_again(query, key), _each_head_again(query, value)
        return _attend(query, key, value, attn_mask, is_causal, scale)
    if query.dim() == 4:
        return _spelled_out(query, key, value, attn_mask, is_causal, scale)
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])  # type: ignore[no-untyped-call]  # of torch
    query_4, key_4, value_4 = (_as_rank_4(item, lead) for item in (query, key, value))
    if attn_mask is not None and attn_mask.dim() > 2:
        attn_mask = _as_rank_4(attn_mask, lead)
    result = _attend(query_4, key_4, value_4, attn_mask, is_causal, scale)
    return result.reshape(*lead, query.shape[-2], value.shape[-1])


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    result: Tensor = aten.scaled_dot_product_attention(query, key, value, mask, 0.0, is_causal, scale=scale)
    return result


def _each_head_again(query: Tensor, shared: Tensor) -> Tensor:
    """Returns keys or values with as many heads as the queries: each as often as there are queries that share it."""
    times = query.shape[-3] // shared.shape[-3]
    *lead, heads, length, width = shared.shape
    return shared.unsqueeze(-3).expand(*lead, heads, times, length, width).reshape(*lead, heads * times, length, width)


def _as_rank_4(item: Tensor, lead: torch.Size) -> Tensor:
    """Returns (..., N, E) as (batch, heads, N, E): the last of the leading axes is that of the heads."""
    heads = lead[-1] if lead else 1
    return item.expand(*lead, *item.shape[-2:]).reshape(math.prod(lead[:-1]), heads, *item.shape[-2:])


def _spelled_out(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    if mask is None or mask.dtype != torch.bool:
        scores = scores if mask is None else scores + mask
        return torch.softmax(scores, -1) @ value
    result = torch.softmax(scores.masked_fill(mask.logical_not(), LOWEST), -1) @ value
    # PyTorch has zeros for a query that may look at nothing, where the softmax is NaN, or all alike.
    return result if is_causal else result * mask.any(-1, keepdim=True).to(result.dtype)
