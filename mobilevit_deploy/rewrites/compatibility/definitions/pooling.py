"""Pools whose windows have different sizes, and pools that leave their stride to the size of their windows."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.graph.graph import as_pair
from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.avg_pool2d.default)
def avg_pool2d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Returns the sum of each window of (..., H, W) over a divisor: one that is given, or the number of its pixels.

    Source: PyTorch's aten/src/ATen/native/cpu/AvgPoolKernel.cpp: padding counts, what a window in ceil mode has beyond
    it does not.
    """
    if divisor_override is None and not ceil_mode:
        raise NotImplementedError("a mean of whole windows")
    kernel, steps, margins = as_pair(kernel_size), as_pair(stride or kernel_size), as_pair(padding)
    borders: list[int] = []
    counts: list[Tensor] = []
    for size, window, step, margin in zip(x.shape[-2:], kernel, steps, margins, strict=True):
        windows = (size + 2 * margin - window) // step + 1
        further = windows * step  # where a window begins that hangs over, if it may
        windows += ceil_mode and further + window < size + 2 * margin + step and further < size + margin
        borders = [margin, max(margin, (windows - 1) * step + window - size - margin), *borders]
        inside = margin if count_include_pad else 0
        starts = torch.arange(windows) * step - margin
        counts.append((starts + window).clamp(max=size + inside) - starts.clamp(min=-inside))
    total = F.avg_pool2d(F.pad(x, borders), kernel, steps) * (kernel[0] * kernel[1])
    return total / (divisor_override or (counts[0][:, None] * counts[1]).to(x.dtype))


@definition(aten.adaptive_avg_pool2d.default)
def adaptive_avg_pool2d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """Returns the mean of each window of (..., H, W): a window's rows are equally long, so one axis after the other."""
    for axis, count in zip((-2, -1), output_size, strict=True):
        if count == x.shape[axis]:
            continue
        windows = [window.mean(axis, keepdim=True) for window in _windows(x, axis, count)]
        x = torch.cat(windows, axis)
    return x


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
        x = torch.cat([window.amax(axis, keepdim=True) for window in _windows(x, axis, count)], axis)
    return x, torch.zeros_like(x, dtype=torch.int64)


def _windows(x: Tensor, axis: int, count: int) -> list[Tensor]:
    """Returns the parts of an axis that an adaptive pool to so many values takes together."""
    size = x.shape[axis]
    starts = [i * size // count for i in range(count)]
    ends = [-(-(i + 1) * size // count) for i in range(count)]
    return [x.narrow(axis, start, end - start) for start, end in zip(starts, ends, strict=True)]


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


@definition(aten.max_pool2d_with_indices.default)
def max_pool2d_with_indices(
    x: Tensor, kernel_size: Sequence[int], stride: Sequence[int] = (), *others: Any
) -> tuple[Tensor, Tensor]:
    """Returns the largest value of each window; their places only where nothing reads them."""
    values: Tensor = aten.max_pool2d(x, kernel_size, stride or kernel_size, *others)
    return values, torch.zeros_like(values, dtype=torch.int64)
