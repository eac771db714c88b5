"""Tensors from shapes and numbers.

Source: coremltools' ``mil/ops/defs/iOS15/tensor_operation.py`` and ``iOS16/tensor_operation.py``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import check_count, operation


@operation(rounds=False)
def fill(shape: list[int], value: Tensor | None = None) -> Tensor:
    """A value, 0.0 if none is given, in every place."""
    return torch.tensor(0.0).expand(shape) if value is None else value.expand(shape)


@operation(rounds=False)
def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """A value in every place of a tensor that has the shape of another."""
    return fill(list(ref_tensor.shape), value)


@operation()
def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """``start, start + step, ...`` up to but without the end."""
    check_count(int(abs((end.item() - start.item()) / step.item())))
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


@operation(rounds=False)
def one_hot(
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
) -> Tensor:
    """A new axis with one value, 1 unless given, at each index and another, 0 unless given, elsewhere."""
    check_count(indices.numel() * one_hot_vector_size)
    on = torch.tensor(1) if on_value is None else on_value
    off = torch.tensor(0) if off_value is None else off_value
    chosen = F.one_hot(indices.long(), one_hot_vector_size).movedim(-1, axis)
    return torch.where(chosen.bool(), on, off)


@operation(rounds=False)
def non_zero(x: Tensor) -> Tensor:
    """(N, rank): the index of every value that is not zero."""
    return x.nonzero()


@operation(rounds=False)
def shape(x: Tensor) -> Tensor:
    """The sizes of x."""
    return torch.tensor(x.shape)
