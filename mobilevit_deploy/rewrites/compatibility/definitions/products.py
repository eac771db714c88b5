"""Matrix products over two axes, for converters that have them for some shapes of more axes only."""

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
