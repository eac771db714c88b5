"""Transposed convolutions whose borders are cut off, or whose kernels have gaps, as plain ones and a cut."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten


@definition(aten.conv_transpose2d.input)
def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Tensor:
    """Returns the convolution of (B, C, H, W) without gaps or padding, and of that what padding leaves."""
    step, cuts, extras, apart = ([*option, *option][:2] for option in (stride, padding, output_padding, dilation))
    if not any(cuts) and max(apart) == 1:
        raise NotImplementedError("nothing is cut off")
    if any(extra > cut for extra, cut in zip(extras, cuts, strict=True)):
        raise NotImplementedError("there is more behind the borders than was computed")
    spread = _with_gaps(_with_gaps(weight, 2, apart[0]), 3, apart[1])
    kept = [0, 0] if any(cuts) else extras
    result: Tensor = aten.conv_transpose2d.input(x, spread, bias, step, [0, 0], kept, groups, [1, 1])
    if not any(cuts):
        return result
    for axis, (cut, extra) in enumerate(zip(cuts, extras, strict=True), start=2):
        result = result.narrow(axis, cut, result.shape[axis] - 2 * cut + extra)
    return result


def _with_gaps(weight: Tensor, axis: int, apart: int) -> Tensor:
    """Returns a kernel with zeros between its places along an axis, so that they are next to each other."""
    if apart == 1:
        return weight
    size = weight.shape[axis]
    behind = [0, 0] * (weight.ndim - 1 - axis)
    spread = F.pad(weight.unsqueeze(axis + 1), [*behind, 0, apart - 1]).flatten(axis, axis + 1)
    return spread.narrow(axis, 0, (size - 1) * apart + 1)
