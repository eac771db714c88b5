"""Windows over three axes, of which the first is moved into the channels or summed: operations of maps are left."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten

Triple = Sequence[int]


@definition(aten.conv3d.default)
def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Triple = (1, 1, 1),
    padding: Triple = (0, 0, 0),
    dilation: Triple = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolves (..., C, D, H, W): a window's slices are channels of a map."""
    stride, padding, dilation = (_triple(value) for value in (stride, padding, dilation))
    batched = x if x.dim() == 5 else x.unsqueeze(0)
    count, taps = _taps(batched, weight.shape[2], stride[0], padding[0], dilation[0])
    maps = torch.cat([tap.transpose(1, 2).unsqueeze(3) for tap in taps], 3).flatten(0, 1).flatten(1, 2)
    flat = F.conv2d(maps, weight.flatten(1, 2), bias, stride[1:], padding[1:], dilation[1:], groups)
    result = flat.reshape(batched.shape[0], count, *flat.shape[1:]).transpose(1, 2)
    return result if x.dim() == 5 else result.squeeze(0)


@definition(aten.avg_pool3d.default)
def avg_pool3d(
    x: Tensor,
    kernel_size: Triple,
    stride: Triple = (),
    padding: Triple = (0, 0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Averages over windows of (..., C, D, H, W), first over D, then over maps."""
    kernel, step, pad = _triple(kernel_size), _triple(stride or kernel_size), _triple(padding)
    if ceil_mode or divisor_override is not None or (any(pad) and not count_include_pad):
        raise NotImplementedError("avg_pool3d whose windows have different sizes")
    batched = x if x.dim() == 5 else x.unsqueeze(0)
    count, taps = _taps(batched, kernel[0], step[0], pad[0], 1)
    total = taps[0]
    for tap in taps[1:]:
        total = total + tap
    maps = (total * (1 / kernel[0])).flatten(0, 1)
    if (kernel[1:], step[1:]) != ([1, 1], [1, 1]):
        maps = F.avg_pool2d(maps, kernel[1:], step[1:], pad[1:])
    result = maps.reshape(*batched.shape[:2], count, *maps.shape[2:])
    return result if x.dim() == 5 else result.squeeze(0)


def _taps(x: Tensor, size: int, step: int, pad: int, gap: int) -> tuple[int, list[Tensor]]:
    """Returns how many windows along the third axis there are, and of all the first slice, the second one, ..."""
    padded = F.pad(x, (0, 0, 0, 0, pad, pad)) if pad else x
    count = (padded.shape[2] - gap * (size - 1) - 1) // step + 1
    starts = [gap * i for i in range(size)]
    return count, [padded[:, :, start : start + step * (count - 1) + 1 : step] for start in starts]


def _triple(value: Triple) -> list[int]:
    return list(value) if len(value) == 3 else [value[0]] * 3
