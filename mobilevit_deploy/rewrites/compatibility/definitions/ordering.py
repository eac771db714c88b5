"""Order statistics by ``topk``, and places in a sorted list by comparisons."""

import torch
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.sort.default, aten.sort.stable)
def sort(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> tuple[Tensor, Tensor]:
    """Returns all values in order and where they were; equal ones may stand in another order."""
    if stable:
        raise NotImplementedError("a sort that keeps the order of equal values")
    values, places = torch.topk(x, x.shape[dim], dim, largest=descending)
    return values, places


@definition(aten.topk.default)
def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Returns the smallest values along an axis, and their places, as the largest of the negative ones."""
    if largest:
        raise NotImplementedError("the largest values")
    values, places = torch.topk(-x, k, dim, True, sorted)
    return -values, places


@definition(aten.kthvalue.default)
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the k-th smallest value along an axis, and its place."""
    values, places = (found.narrow(dim, k - 1, 1) for found in torch.topk(x, k, dim, largest=False))
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


@definition(aten.median.dim)
def median(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the lower median along an axis, and its place."""
    return kthvalue(x, (x.shape[dim] + 1) // 2, dim, keepdim)


@definition(aten.searchsorted.Tensor)
def searchsorted(
    edges: Tensor,
    x: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: None = None,
) -> Tensor:
    """Returns how many of the sorted edges are smaller, and with ``right`` also those that are equal."""
    if edges.dim() != 1 or sorter is not None:
        raise NotImplementedError("searchsorted with edges for each row")
    values = x.unsqueeze(-1)
    below = edges <= values if right or side == "right" else edges < values
    return below.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)
