"""Pools whose windows have different sizes, and pools that leave their stride to the size of their windows."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.adaptive_max_pool2d.default)
def adaptive_max_pool2d(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Returns the largest value of each window of (..., H, W); their places only where nothing reads them.

    A window's largest value is the largest of its rows' largest values: one axis after the other.
    """
    for axis, count in zip((-2, -1), output_size, strict=True):
        size = x.shape[axis]
        if size % count == 0:
            x = aten.unflatten(x, axis, [count, size // count]).amax(axis)
            continue
        starts = [i * size // count for i in range(count)]
        ends = [-(-(i + 1) * size // count) for i in range(count)]
        windows = [x.narrow(axis, start, end - start) for start, end in zip(starts, ends, strict=True)]
        x = torch.cat([window.amax(axis, keepdim=True) for window in windows], axis)
    return x, torch.zeros_like(x, dtype=torch.int64)


@definition(aten.max_pool1d.default)
def max_pool1d(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int] = (), *others: Any) -> Tensor:
    """Returns the same with the stride that a pool has where it is not said."""
    result: Tensor = aten.max_pool1d(x, kernel_size, stride or kernel_size, *others)
    return result


@definition(aten.max_pool2d.default)
def max_pool2d(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int] = (), *others: Any) -> Tensor:
    """Returns the same with the stride that a pool has where it is not said."""
    result: Tensor = aten.max_pool2d(x, kernel_size, stride or kernel_size, *others)
    return result
