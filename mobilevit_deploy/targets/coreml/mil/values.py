"""Values while a program runs: how each MIL type is held in the three precisions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.data_types import FP16, DataType
from mobilevit_deploy.targets.coreml.mil.program import Constant, TensorType

Mode = Literal["fp16_storage", "half", "widened", "half_constants"]
# coremltools 9.0 keeps constants with fewer numbers from becoming zero, as an epsilon of 1e-12 would: it rounds them to
# the smallest number that is none (FP16ComputePrecision._check_underflow_to_zero).
KEPT_FROM_ZERO = 400
SMALLEST_HALF = float(np.finfo(np.float16).smallest_subnormal)
MODES: tuple[Mode, ...] = ("fp16_storage", "half", "widened", "half_constants")


@dataclass
class State:
    """A tensor that lives on from run to run; a write replaces it, so what was read before stays as it was."""

    value: Tensor


Value = Tensor | str | int | tuple[str | int, ...] | State


def hold_constant(constant: Constant, mode: Mode) -> Value:
    """Returns a decoded constant as the program's ops take it.

    What the file holds as fp16 has been rounded to fp16, whatever the mode; ``half_constants`` rounds float32 so too,
    as coremltools does.
    """
    if not isinstance(constant, np.ndarray):
        return constant
    if constant.dtype == np.float32 and mode == "half_constants":
        return _round_to_half(torch.tensor(constant))
    if constant.dtype == np.float16:
        half = torch.tensor(constant)
        return half if mode == "half" else half.float()
    if constant.dtype == np.uint16:
        return torch.tensor(constant.astype(np.int32))
    if constant.dtype == np.uint32:
        return torch.tensor(constant.astype(np.int64))
    return torch.tensor(constant)  # a copy: the array may be a view of bytes that cannot be written to


def _round_to_half(values: Tensor) -> Tensor:
    half = values.half().float()
    if values.numel() >= KEPT_FROM_ZERO:
        return half
    return torch.where((half == 0) & (values != 0), values.sign() * SMALLEST_HALF, half)


def settle(result: Tensor, data_type: DataType, mode: Mode, rounds: bool) -> Tensor:
    """Returns a result as its declared type holds it.

    Args:
        result: of an op, of any data type.
        data_type: that the program declares for it.
        mode: ``fp16_storage`` rounds fp16 results and holds them in float32, ``half`` holds float16, and
            ``widened`` and ``half_constants`` hold float32 and do not round.
        rounds: whether the op can produce what fp16 does not have; an op that only moves values cannot.
    """
    if data_type is not FP16:
        return result.to(data_type.torch)
    if mode == "half":
        return result.half()
    if mode in ("widened", "half_constants") or not rounds:
        return result.float()
    return result.half().float()


def fits(shape: torch.Size, declared: TensorType) -> bool:
    """Tells whether a shape is the declared one, where that is fixed."""
    if declared.shape is None:
        return True
    if len(shape) != len(declared.shape):
        return False
    return all(size is None or size == found for size, found in zip(declared.shape, shape, strict=True))
