"""Transposed convolutions whose borders are cut off, as one that keeps them and a cut."""

from collections.abc import Sequence

import torch
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
    """Returns the convolution of (B, C, H, W) without padding, and of that what padding leaves."""
    step, cuts, extras, apart = ([*option, *option][:2] for option in (stride, padding, output_padding, dilation))
    if not any(cuts):
        raise NotImplementedError("nothing is cut off")
    if any(extra > cut for extra, cut in zip(extras, cuts, strict=True)):
        raise NotImplementedError("there is more behind the borders than was computed")
    result: Tensor = aten.conv_transpose2d.input(x, weight, bias, step, [0, 0], [0, 0], groups, apart)
    for axis, (cut, extra) in enumerate(zip(cuts, extras, strict=True), start=2):
        result = result.narrow(axis, cut, result.shape[axis] - 2 * cut + extra)
    return result
