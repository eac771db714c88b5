"""Matrix products.

Source: coremltools' ``mil/ops/defs/iOS15/linear.py`` and ``iOS18/transformers.py``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation()
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``; x is (*, in), weight (out, in)."""
    return F.linear(x, weight, bias)


@operation()
def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """Batched product; a transpose has no effect on a vector."""
    if transpose_x and x.ndim > 1:
        x = x.transpose(-1, -2)
    if transpose_y and y.ndim > 1:
        y = y.transpose(-1, -2)
    return torch.matmul(x, y)


@operation()
def einsum(values: list[Tensor], equation: str) -> Tensor:
    """The products that an equation such as ``nchw,nwhu->nchu`` names; axes of size 1 broadcast."""
    return torch.einsum(equation, *values)


@operation()
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """``softmax(query @ key.T / sqrt(E) + mask) @ value``; where a boolean mask is False nothing is attended to."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask)
