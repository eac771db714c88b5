"""Matrix products over two axes, for converters that have them for some shapes only, and products along an axis."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.linear.default)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns the product of (..., C), computed as one of (rows, C); a weight of one axis is a matrix of one row."""
    if weight.ndim == 1:
        row = F.linear(x, weight.unsqueeze(0), None if bias is None else bias.reshape(1))
        return row.squeeze(-1)
    if x.ndim < 3:
        raise NotImplementedError("two axes are the least")
    return F.linear(x.reshape(-1, x.shape[-1]), weight, bias).reshape(*x.shape[:-1], weight.shape[0])


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
