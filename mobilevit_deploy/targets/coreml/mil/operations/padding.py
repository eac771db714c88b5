"""How convolutions and pools write their padding; no op of its own."""

import math
from collections.abc import Sequence

Pads = list[tuple[int, int]]


def resolve_pads(
    pad_type: str, pad: Sequence[int] | None, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> Pads:
    """Returns what to pad before and after each spatial axis.

    ``same`` pads until the output has ``ceil(size / stride)`` values and puts an odd one after, as PyTorch and
    TensorFlow do; ``same_lower`` puts it before.

    Args:
        pad_type: ``valid``, ``custom``, ``same`` or ``same_lower``.
        pad: for ``custom``, before and after each axis in turn.
        sizes: of the spatial axes.
        kernel: sizes of the window, dilation included.
        strides: of the window.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        pad = pad or [0] * 2 * len(sizes)
        return list(zip(pad[0::2], pad[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"unknown pad_type {pad_type}")
    pads = []
    for size, window, stride in zip(sizes, kernel, strides, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + window - size)
        smaller, larger = total // 2, total - total // 2
        pads.append((smaller, larger) if pad_type == "same" else (larger, smaller))
    return pads


def torch_pads(pads: Pads) -> list[int]:
    """Returns the pads as ``torch.nn.functional.pad`` takes them: the last axis first."""
    return [amount for pair in reversed(pads) for amount in pair]
