"""Convolution and its transpose over 1 to 3 spatial axes.

Source: coremltools' ``mil/ops/defs/iOS15/conv.py``.
"""

import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.padding import Pads, resolve_pads, torch_pads
from mobilevit_deploy.targets.coreml.mil.operations.registry import operation

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@operation()
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """Convolution of x (N, C, *spatial) with weight (O, C / groups, *kernel)."""
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    pads = resolve_pads(pad_type, pad, x.shape[2:], _dilated(weight, dilations), strides)
    convolution = _CONVOLUTIONS[axes]
    if all(before == after for before, after in pads):
        return convolution(x, weight, bias, strides, [before for before, _ in pads], dilations, groups)
    return convolution(F.pad(x, torch_pads(pads)), weight, bias, strides, 0, dilations, groups)


@operation()
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: list[int] | None = None,
    pad_type: str = "valid",
    pad: list[int] | None = None,
    output_shape: list[int] | None = None,
    dilations: list[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of x (N, C, *spatial) with weight (C, O / groups, *kernel).

    The whole result is cut by the pads; where ``output_shape`` asks for more than is left, no weight reaches, and
    the values there are the bias.
    """
    axes = x.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    whole = _TRANSPOSED[axes](x, weight, None, strides, 0, 0, groups, dilations)
    wanted = output_shape[2:] if output_shape else None
    if pad_type == "same" and wanted is None:
        wanted = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    result = F.pad(whole, torch_pads(_cuts(pad_type, pad, whole.shape[2:], wanted)))
    return result if bias is None else result + bias.reshape(-1, *[1] * axes)


def _cuts(pad_type: str, pad: list[int] | None, whole: tuple[int, ...], wanted: list[int] | None) -> Pads:
    """Returns how much to add before and after each spatial axis, negative to cut."""
    if pad_type not in ("valid", "custom", "same"):
        raise ValueError(f"unknown pad_type {pad_type}")
    cuts = []
    for axis, size in enumerate(whole):
        before, after = (pad[2 * axis], pad[2 * axis + 1]) if pad_type == "custom" and pad else (0, 0)
        if wanted is not None:
            if pad_type == "same":
                before = max(0, size - wanted[axis]) // 2
            after = size - before - wanted[axis]
        cuts.append((-before, -after))
    return cuts


def _dilated(weight: Tensor, dilations: list[int]) -> list[int]:
    return [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations, strict=True)]
