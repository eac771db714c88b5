"""Order statistics by ``topk``, places in a sorted list by comparisons, and running ones by doubling steps."""

import math
from collections.abc import Callable

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


@definition(aten.quantile.scalar)
def quantile(
    x: Tensor, q: float, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """Returns the value below which a share of those along an axis lie, or of all values; NaN is not looked for."""
    axis = 0 if dim is None else dim
    values = x.reshape(-1) if dim is None else x
    place = q * (values.shape[axis] - 1)
    places = {"lower": math.floor(place), "higher": math.ceil(place), "nearest": round(place)}
    if interpolation in places:
        found = _smallest(values, places[interpolation], axis)
    else:
        low, high = (_smallest(values, places[name], axis) for name in ("lower", "higher"))
        found = torch.lerp(low, high, 0.5 if interpolation == "midpoint" else place - places["lower"])
    if keepdim:
        return found.reshape([1] * x.dim()) if dim is None else found
    return found.squeeze(axis)


def _smallest(x: Tensor, place: int, dim: int) -> Tensor:
    """Returns the value along an axis that so many are smaller than, with the axis."""
    return torch.topk(x, place + 1, dim, largest=False).values.narrow(dim, place, 1)


@definition(aten.cummax.default)
def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Returns the largest value so far along an axis, and the last place where it stood."""
    return _running(x, dim, torch.ge, -math.inf)


@definition(aten.cummin.default)
def cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Returns the smallest value so far along an axis, and the last place where it stood."""
    return _running(x, dim, torch.le, math.inf)


def _running(x: Tensor, dim: int, wins: Callable[[Tensor, Tensor], Tensor], least: float) -> tuple[Tensor, Tensor]:
    """Compares with what came 1, 2, 4, ... places earlier: each step doubles how far back a place has looked."""
    if not x.is_floating_point():
        raise NotImplementedError("running extremes of whole numbers")
    count = x.shape[dim]
    shape = [count if axis == dim % x.dim() else 1 for axis in range(x.dim())]
    places = torch.arange(count).reshape(shape).expand(x.shape)
    step = 1
    while step < count:
        before = x.narrow(dim, 0, step)
        earlier = torch.cat([torch.full_like(before, least), x.narrow(dim, 0, count - step)], dim)
        at = torch.cat([places.narrow(dim, 0, step), places.narrow(dim, 0, count - step)], dim)
        stays = wins(x, earlier)
        x, places, step = torch.where(stays, x, earlier), torch.where(stays, places, at), 2 * step
    return x, places


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
