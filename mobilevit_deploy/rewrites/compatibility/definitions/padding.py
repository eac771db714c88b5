"""Padding with the other end of an axis, and by less than nothing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.pad.default)
def pad(x: Tensor, widths: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Returns a tensor with ``widths`` values of its other end more before and after its last axes, the last first."""
    if mode != "circular":
        raise NotImplementedError(f"{mode} padding")
    return pad_circular(x, widths)


@definition(aten._pad_circular.default)
def pad_circular(x: Tensor, widths: Sequence[int]) -> Tensor:
    """Returns the same; PyTorch calls it by itself."""
    for i in range(len(widths) // 2):
        axis = x.dim() - 1 - i
        before, after = widths[2 * i : 2 * i + 2]
        size = x.shape[axis]
        x = F.pad(x, [0, 0] * i + [min(before, 0), min(after, 0)]) if min(before, after) < 0 else x
        parts = [x.narrow(axis, x.shape[axis] - before, before)] if before > 0 else []
        parts += [x, *([x.narrow(axis, 0, after)] if after > 0 else [])]
        if max(before, after) > size:
            raise NotImplementedError("circular padding that is wider than the tensor")
        x = torch.cat(parts, axis) if len(parts) > 1 else x
    return x


@definition(aten.constant_pad_nd.default)
def constant_pad_nd(x: Tensor, widths: Sequence[int], value: float = 0) -> Tensor:
    """Returns a tensor with values more around it, and without those that a negative width cuts off."""
    if min(widths, default=0) >= 0:
        raise NotImplementedError("nothing is cut off")
    for i in range(len(widths) // 2):
        before, after = (max(-width, 0) for width in widths[2 * i : 2 * i + 2])
        axis = x.dim() - 1 - i
        x = x.narrow(axis, before, x.shape[axis] - before - after) if before or after else x
    more = [max(width, 0) for width in widths]
    return F.pad(x, more, value=value) if any(more) else x
