"""Sums, means, extremes and products over axes, or over all of a tensor, as such over axes that are named."""

import torch
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


def _axes(x: Tensor) -> list[int]:
    if x.dim() == 0:
        raise NotImplementedError("a number has no axes")
    return list(range(x.dim()))


@definition(aten.mean.default)
def mean(x: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """Returns the mean of all numbers."""
    result: Tensor = aten.mean.dim(x, _axes(x), False, dtype=dtype)
    return result


@definition(aten.sum.default)
def sum_of_all(x: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """Returns the sum of all numbers."""
    result: Tensor = aten.sum.dim_IntList(x, _axes(x), False, dtype=dtype)
    return result


@definition(aten.max.default)
def largest(x: Tensor) -> Tensor:
    """Returns the largest of all numbers."""
    result: Tensor = aten.amax(x, _axes(x))
    return result


@definition(aten.min.default)
def smallest(x: Tensor) -> Tensor:
    """Returns the smallest of all numbers."""
    result: Tensor = aten.amin(x, _axes(x))
    return result


@definition(aten.prod.dim_int)
def prod(x: Tensor, dim: int, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    """Returns the product of the numbers along an axis: of the halves, of the halves of that, and so on."""
    length = x.shape[dim]
    if dtype not in (None, x.dtype) or length == 0:
        raise NotImplementedError("a product of another type, or of nothing")
    while length > 1:
        half, odd = divmod(length, 2)
        pairs = x.narrow(dim, 0, half) * x.narrow(dim, half, half)
        x = torch.cat([pairs, x.narrow(dim, 2 * half, 1)], dim) if odd else pairs
        length = half + odd
    return x if keepdim else x.squeeze(dim)


@definition(aten.prod.default)
def prod_of_all(x: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """Returns the product of all numbers."""
    result: Tensor = aten.prod.dim_int(x.flatten(), 0, dtype=dtype)
    return result
