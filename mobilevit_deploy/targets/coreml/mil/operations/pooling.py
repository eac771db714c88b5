"""Average, maximum and L2 pools over 1 to 3 spatial axes.

Source: coremltools' ``mil/ops/defs/iOS15/pool.py``.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.padding import Pads, resolve_pads, torch_pads
from mobilevit_deploy.targets.coreml.mil.operations.registry import operation

_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@operation()
def avg_pool(
    x: Tensor,
    kernel_sizes: list[int],
    pad_type: str,
    strides: list[int] | None = None,
    pad: list[int] | None = None,
    ceil_mode: bool = False,
    exclude_padding_from_average: bool = False,
) -> Tensor:
    """Mean over each window; the padding counts as zeros unless it is excluded."""
    strides = strides or [1] * len(kernel_sizes)
    pads = resolve_pads(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    average = _AVERAGE[len(kernel_sizes)]
    padded = _pad(x, pads, 0.0)
    result = average(padded, kernel_sizes, strides, 0, ceil_mode)
    if exclude_padding_from_average and padded is not x:
        inside = _pad(torch.ones_like(x[:1, :1]), pads, 0.0)
        result = result / average(inside, kernel_sizes, strides, 0, ceil_mode)
    return _trim(result, x, kernel_sizes, strides, pads, ceil_mode)


@operation(rounds=False)
def max_pool(
    x: Tensor,
    kernel_sizes: list[int],
    pad_type: str,
    strides: list[int] | None = None,
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Largest value of each window; the padding is never it."""
    strides = strides or [1] * len(kernel_sizes)
    pads = resolve_pads(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    result: Tensor = _MAXIMUM[len(kernel_sizes)](_pad(x, pads, -math.inf), kernel_sizes, strides, 0, 1, ceil_mode)
    return _trim(result, x, kernel_sizes, strides, pads, ceil_mode)


@operation()
def l2_pool(
    x: Tensor,
    kernel_sizes: list[int],
    pad_type: str,
    strides: list[int] | None = None,
    pad: list[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Root of the sum of squares over each window."""
    if ceil_mode:
        raise ValueError("ceil_mode is not defined for windows that reach beyond the padding")
    mean = avg_pool(x.square(), kernel_sizes, pad_type, strides, pad)
    return torch.sqrt(mean * math.prod(kernel_sizes))


def _pad(x: Tensor, pads: Pads, value: float) -> Tensor:
    return F.pad(x, torch_pads(pads), value=value) if any(map(any, pads)) else x


def _trim(result: Tensor, x: Tensor, kernel: list[int], strides: list[int], pads: Pads, ceil_mode: bool) -> Tensor:
    """Drops the windows that ``ceil_mode`` adds but that begin in the padding after the input, as PyTorch does."""
    if not ceil_mode:
        return result
    for axis, (before, after) in enumerate(pads):
        size, stride = x.shape[2 + axis], strides[axis]
        count = math.ceil((size + before + after - kernel[axis]) / stride) + 1
        if (count - 1) * stride >= size + before:
            count -= 1
        result = result.narrow(2 + axis, 0, count)
    return result
