"""Cuts out of tensors, and into them.

Source: coremltools' ``mil/ops/defs/iOS15/tensor_transformation.py`` and ``iOS18/tensor_transformation.py``.
"""

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation(rounds=False)
def slice_by_index(
    x: Tensor,
    begin: list[int],
    end: list[int],
    stride: list[int] | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    """``x[begin:end:stride, ...]`` as in numpy; a mask stands for a missing bound, or for an index without a range."""
    slices = _slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, part in enumerate(slices):
        if part.step > 0:
            x = x[(slice(None),) * axis + (part,)]
        else:  # torch has no negative steps
            x = x.index_select(axis, torch.tensor(range(*part.indices(x.shape[axis])), dtype=torch.long))
    removed = [axis for axis, removes in enumerate(squeeze_mask or []) if removes]
    return x.squeeze(removed) if removed else x


@operation(rounds=False)
def slice_by_size(x: Tensor, begin: list[int], size: list[int]) -> Tensor:
    """``size`` values from ``begin`` on along each axis; -1 takes the rest."""
    for axis, (first, count) in enumerate(zip(begin, size, strict=True)):
        first = first + x.shape[axis] if first < 0 else first
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


@operation(rounds=False)
def slice_update(
    x: Tensor,
    update: Tensor,
    begin: list[int],
    end: list[int],
    stride: list[int] | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    """x with the values that ``slice_by_index`` would cut out replaced."""
    slices = _slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    places = [torch.tensor(range(*part.indices(size))) for part, size in zip(slices, x.shape, strict=True)]
    result = x.clone()
    target = torch.meshgrid(*places, indexing="ij")
    result[target] = update.reshape(target[0].shape)
    return result


@operation(rounds=False)
def crop(x: Tensor, crop_height: list[int], crop_width: list[int]) -> Tensor:
    """Without the given rows at the top and bottom and columns at the left and right."""
    height, width = x.shape[-2:]
    return x[..., crop_height[0] : height - crop_height[1], crop_width[0] : width - crop_width[1]]


def _slices(
    x: Tensor,
    begin: list[int],
    end: list[int],
    stride: list[int] | None,
    begin_mask: list[bool] | None,
    end_mask: list[bool] | None,
    squeeze_mask: list[bool] | None,
) -> list[slice]:
    """Returns a slice for each axis; one of a single value where the squeeze mask stands."""
    if not len(begin) == len(end) == x.ndim:
        raise ValueError(f"begin {begin} and end {end} need a value for each axis of {list(x.shape)}")
    slices = []
    for axis in range(x.ndim):
        step = stride[axis] if stride else 1
        first = None if begin_mask and begin_mask[axis] else begin[axis]
        last = None if end_mask and end_mask[axis] else end[axis]
        if squeeze_mask and squeeze_mask[axis]:
            index = range(x.shape[axis])[first or 0]  # raises IndexError beyond the axis
            slices.append(slice(index, index + 1, 1))
        else:
            slices.append(slice(first, last, step))
    return slices
