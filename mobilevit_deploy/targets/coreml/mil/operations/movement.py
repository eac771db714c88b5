"""Ops that change the shape or the order of values and compute nothing.

Source: coremltools' ``mil/ops/defs/iOS15/tensor_transformation.py``, ``tensor_operation.py`` and their later versions.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.padding import torch_pads
from mobilevit_deploy.targets.coreml.mil.operations.registry import check_count, operation


@operation(rounds=False)
def reshape(x: Tensor, shape: list[int]) -> Tensor:
    """The same values in another shape: 0 keeps the size at its place, -1 stands for what is left."""
    if 0 in shape and len(shape) != x.ndim:
        raise ValueError(f"{shape} copies a size by a 0, which needs the {x.ndim} axes of its input")
    return x.reshape([size or x.shape[axis] for axis, size in enumerate(shape)])


@operation(rounds=False)
def reshape_like(
    x: Tensor, ref_tensors: list[Tensor], begins: list[int], ends: list[int], end_masks: list[bool]
) -> Tensor:
    """The same values in a shape that is put together from ranges of other tensors' shapes."""
    result: list[int] = []
    for reference, begin, end, to_the_end in zip(ref_tensors, begins, ends, end_masks, strict=True):
        result += reference.shape[begin : None if to_the_end else end]
    return x.reshape(result)


@operation(rounds=False)
def expand_dims(x: Tensor, axes: list[int]) -> Tensor:
    """New axes of size 1; an axis counts in the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operation(rounds=False)
def squeeze(x: Tensor, axes: list[int] | None = None) -> Tensor:
    """Without the given axes, all if none are given; an axis that is not of size 1 stays."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operation(rounds=False)
def flatten2d(x: Tensor, axis: int = 1) -> Tensor:
    """(prod of the axes before, prod of the rest)."""
    axis = axis % x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operation(rounds=False)
def transpose(x: Tensor, perm: list[int]) -> Tensor:
    """The axes in another order."""
    return x.permute(perm)


@operation(rounds=False)
def concat(values: list[Tensor], axis: int, interleave: bool = False) -> Tensor:
    """One after another along an axis, or taking turns if interleaved; scalars make a vector."""
    if values[0].ndim == 0:
        return torch.stack(values)
    if interleave:
        return torch.stack(values, axis % values[0].ndim + 1).flatten(axis % values[0].ndim, axis % values[0].ndim + 1)
    return torch.cat(values, axis)


@operation(rounds=False)
def stack(values: list[Tensor], axis: int) -> Tensor:
    """One after another along a new axis."""
    return torch.stack(values, axis)


@operation(rounds=False)
def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: list[int] | None = None
) -> tuple[Tensor, ...]:
    """Parts along an axis, of the given sizes or all equal."""
    if split_sizes is not None:
        return torch.split(x, split_sizes, axis)
    if num_splits is None or x.shape[axis] % num_splits:
        raise ValueError(f"{x.shape[axis]} values do not split into {num_splits} equal parts")
    return torch.split(x, x.shape[axis] // num_splits, axis)


@operation(rounds=False)
def tile(x: Tensor, reps: list[int]) -> Tensor:
    """Repeated along each axis."""
    check_count(x.numel() * math.prod(reps))
    return x.repeat(reps)


@operation(rounds=False)
def reverse(x: Tensor, axes: list[int] | None = None) -> Tensor:
    """Backwards along the given axes, or all."""
    return x.flip(axes if axes is not None else list(range(x.ndim)))


@operation(rounds=False)
def pad(x: Tensor, pad: list[int], mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """Grows the last axes: before and after the first of them, then before and after the next."""
    pairs = list(zip(pad[0::2], pad[1::2], strict=True))
    grown = [size + before + after for size, (before, after) in zip(x.shape[x.ndim - len(pairs) :], pairs, strict=True)]
    check_count(math.prod((*x.shape[: x.ndim - len(pairs)], *grown)))
    if mode == "constant":
        return F.pad(x, torch_pads(pairs), value=constant_val)
    if mode not in ("reflect", "replicate"):
        raise ValueError(f"unknown mode {mode}")
    for axis, (before, after) in enumerate(pairs, start=x.ndim - len(pairs)):
        if before or after:
            last = x.shape[axis] - 1
            places = torch.arange(-before, last + 1 + after)
            x = x.index_select(axis, _mirror(places, last) if mode == "reflect" else places.clamp(0, last))
    return x


def _mirror(places: Tensor, last: int) -> Tensor:
    """Reflects places outside of ``0..last`` at the first and last value, which are not repeated."""
    places = places.abs()
    places = torch.where(places > last, 2 * last - places, places)
    if (places < 0).any():
        raise ValueError(f"{last + 1} values cannot be reflected as far as the pad asks")
    return places


@operation(rounds=False)
def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(N, C f f, H, W) to (N, C, H f, W f), a channel's f x f neighbours side by side."""
    return F.pixel_shuffle(x, upscale_factor)


@operation(rounds=False)
def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(N, C, H f, W f) to (N, C f f, H, W), a channel's f x f neighbours side by side."""
    return F.pixel_unshuffle(x, downscale_factor)


@operation(rounds=False)
def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """(N, b b C, H, W) to (N, C, H b, W b), the place in the block first, as in TensorFlow."""
    n, channels, height, width = x.shape
    depth = channels // block_size**2
    x = x.reshape(n, block_size, block_size, depth, height, width).permute(0, 3, 4, 1, 5, 2)  # (N, C, H, b, W, b)
    return x.reshape(n, depth, height * block_size, width * block_size)


@operation(rounds=False)
def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    """(N, C, H b, W b) to (N, b b C, H, W), the place in the block first, as in TensorFlow."""
    n, channels, height, width = x.shape
    height, width = height // block_size, width // block_size
    x = x.reshape(n, channels, height, block_size, width, block_size).permute(0, 3, 5, 1, 2, 4)  # (N, b, b, C, H, W)
    return x.reshape(n, block_size**2 * channels, height, width)


@operation(rounds=False)
def space_to_batch(x: Tensor, block_shape: list[int], paddings: list[int]) -> Tensor:
    """(N, C, H, W) padded, then (b0 b1 N, C, H / b0, W / b1), the place in the block first, as in TensorFlow."""
    x = pad(x, paddings)
    n, channels, height, width = x.shape
    rows, columns = block_shape
    height, width = height // rows, width // columns
    x = x.reshape(n, channels, height, rows, width, columns).permute(3, 5, 0, 1, 2, 4)  # (b0, b1, N, C, H, W)
    return x.reshape(rows * columns * n, channels, height, width)


@operation(rounds=False)
def batch_to_space(x: Tensor, block_shape: list[int], crops: list[int]) -> Tensor:
    """(b0 b1 N, C, H, W) to (N, C, H b0, W b1), then cropped: the reverse of ``space_to_batch``."""
    batch, channels, height, width = x.shape
    rows, columns = block_shape
    n = batch // (rows * columns)
    x = x.reshape(rows, columns, n, channels, height, width).permute(2, 3, 4, 0, 5, 1)  # (N, C, H, b0, W, b1)
    x = x.reshape(n, channels, height * rows, width * columns)
    return pad(x, [-crop for crop in crops])


@operation(rounds=False)
def sliding_windows(x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    """All windows along an axis, on a new axis behind it."""
    axis = axis % x.ndim
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)


@operation(rounds=False)
def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    """Zeros outside of a band around the diagonal of the last two axes; a negative width keeps that whole side."""
    if lower >= 0:
        x = x.triu(-lower)
    return x.tril(upper) if upper >= 0 else x
