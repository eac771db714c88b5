"""Sliding windows, cut out and added up again: convolutions with windows of a single one, and slices."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten

Pair = Sequence[int]


@definition(aten.im2col.default)
def im2col(x: Tensor, kernel_size: Pair, dilation: Pair, padding: Pair, stride: Pair) -> Tensor:
    """Cuts windows out of (N, C, H, W): (N, C * kernel, windows). Each value of a window is a channel."""
    batched = x if x.dim() == 4 else x.unsqueeze(0)
    windows = F.conv2d(
        batched, _picks(x.shape[-3], kernel_size, x.dtype), None, stride, padding, dilation, x.shape[-3]
    ).flatten(2)
    return windows if x.dim() == 4 else windows.squeeze(0)


@definition(aten.col2im.default)
def col2im(x: Tensor, output_size: Pair, kernel_size: Pair, dilation: Pair, padding: Pair, stride: Pair) -> Tensor:
    """Adds windows (N, C * kernel, windows) up to a map (N, C, H, W), which is the transpose of cutting them out."""
    batched = x if x.dim() == 3 else x.unsqueeze(0)
    channels = batched.shape[1] // (kernel_size[0] * kernel_size[1])
    reach = [gap * (window - 1) + 1 for gap, window in zip(dilation, kernel_size, strict=True)]
    padded = [size + 2 * pad for size, pad in zip(output_size, padding, strict=True)]
    counts = [(size - width) // step + 1 for size, width, step in zip(padded, reach, stride, strict=True)]
    spare = [(size - width) % step for size, width, step in zip(padded, reach, stride, strict=True)]
    grid = batched.reshape(*batched.shape[:2], *counts)
    picks = _picks(channels, kernel_size, x.dtype)
    result = F.conv_transpose2d(grid, picks, None, stride, padding, spare, channels, dilation)
    return result if x.dim() == 3 else result.squeeze(0)


def _picks(channels: int, kernel: Pair, dtype: torch.dtype) -> Tensor:
    """Returns weights that give each value of a window a channel of its own, (channels * area, 1, height, width)."""
    area = kernel[0] * kernel[1]
    return torch.eye(area, dtype=dtype).reshape(area, 1, *kernel).repeat(channels, 1, 1, 1)


@definition(aten.unfold.default)
def unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Returns windows along an axis: (..., windows, ..., size)."""
    axis = dimension % x.dim()
    count = (x.shape[axis] - size) // step + 1
    if step == size:
        cut: Tensor = aten.unflatten(x.narrow(axis, 0, count * size), axis, [count, size])
        return cut.movedim(axis + 1, -1)
    if count < size:
        return torch.stack([x.narrow(axis, i * step, size) for i in range(count)], axis).movedim(axis + 1, -1)
    last = (count - 1) * step + 1
    return torch.stack([aten.slice(x, axis, i, i + last, step) for i in range(size)], -1)
