"""Quantised activations.

Source: coremltools' ``mil/ops/defs/iOS17/quantization_ops.py``.
"""

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


@operation(rounds=False)
def quantize(
    input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """``clip(round(input / scale) + zero_point)``, halves rounded to even."""
    if output_dtype not in _LIMITS:
        raise ValueError(f"unknown output_dtype {output_dtype}")
    result = torch.round(input / _along(scale, input, axis))
    if zero_point is not None:
        result = result + _along(zero_point, input, axis)
    return result.clamp(*_LIMITS[output_dtype])


@operation()
def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: int | None = None) -> Tensor:
    """``scale * (input - zero_point)``."""
    values = input.to(scale.dtype)
    if zero_point is not None:
        values = values - _along(zero_point, input, axis).to(scale.dtype)
    return values * _along(scale, input, axis)


def _along(values: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """Returns a scalar as it is, and a vector along the axis of x."""
    if values.ndim == 0:
        return values
    if axis is None:
        raise ValueError("a vector of scales needs an axis")
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.reshape(shape)
