"""Ops that pick or place values by index.

Indices may be negative, as the definitions for iOS 15 and 16 allow; from iOS 17 on negative ones are undefined, and no
converter writes them. An index beyond its axis is an error here, whatever ``validate_indices`` says.
Source: coremltools' ``mil/ops/defs/iOS15/scatter_gather.py`` and its later versions.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation(rounds=False)
def gather(x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    """``x[..., indices, ...]`` along an axis; the first ``batch_dims`` axes of both go together."""
    del validate_indices
    axis = axis % x.ndim
    indices = _positive(indices, x.shape[axis])
    if batch_dims == 0:
        return x[(slice(None),) * axis + (indices,)]
    batch = x.shape[:batch_dims]
    rows = x.reshape(-1, *x.shape[batch_dims:])
    chosen = indices.reshape(len(rows), *indices.shape[batch_dims:])
    before = (slice(None),) * (axis - batch_dims)
    result = torch.stack([row[(*before, places)] for row, places in zip(rows, chosen, strict=True)])
    return result.reshape(*batch, *result.shape[1:])


@operation(rounds=False)
def gather_along_axis(x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False) -> Tensor:
    """``x[i, indices[i, j], ...]``: an index for each value of the result."""
    del validate_indices
    return x.gather(axis, _positive(indices, x.shape[axis]))


@operation(rounds=False)
def gather_nd(x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    """Slices of x; the last axis of ``indices`` holds the first coordinates of each."""
    del validate_indices
    if batch_dims == 0:
        return x[_coordinates(x.shape, indices)]
    batch = x.shape[:batch_dims]
    rows = x.reshape(-1, *x.shape[batch_dims:])
    chosen = indices.reshape(len(rows), *indices.shape[batch_dims:])
    result = torch.stack([gather_nd(row, places) for row, places in zip(rows, chosen, strict=True)])
    return result.reshape(*batch, *result.shape[1:])


@operation()
def scatter(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    """Data with updates put in, slice by slice along an axis."""
    del validate_indices
    axis = axis % data.ndim
    shape = [1] * data.ndim
    shape[axis] = -1
    places = _positive(indices.flatten(), data.shape[axis]).reshape(shape)
    return _put(data, axis, places.expand(updates.shape), updates, mode)


@operation()
def scatter_along_axis(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    """Data with updates put in at an index along an axis for each update."""
    del validate_indices
    return _put(data, axis, _positive(indices, data.shape[axis]), updates, mode)


@operation()
def scatter_nd(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    """Data with slices put in; the last axis of ``indices`` holds the first coordinates of each."""
    del validate_indices
    depth = indices.shape[-1]
    outer, inner = data.shape[:depth], data.shape[depth:]
    row = torch.zeros(indices.shape[:-1], dtype=torch.long)  # number of the slice among all
    for size, coordinate in zip(outer, _coordinates(data.shape, indices), strict=True):
        row = row * size + coordinate
    width = math.prod(inner)
    flat = data.reshape(math.prod(outer), width)
    values = updates.reshape(row.numel(), width)  # there may be none
    places = row.reshape(-1, 1).expand(values.shape)
    return _put(flat, 0, places, values, mode).reshape(*outer, *inner)


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
_INVERSES: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "sub": ("add", torch.neg),
    "div": ("mul", torch.reciprocal),
}


def _put(data: Tensor, axis: int, places: Tensor, updates: Tensor, mode: str) -> Tensor:
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode in _INVERSES:
        mode, invert = _INVERSES[mode]
        updates = invert(updates)
    if mode not in _REDUCTIONS:
        raise ValueError(f"unknown mode {mode}")
    return data.scatter_reduce(axis, places, updates, _REDUCTIONS[mode])


def _coordinates(shape: torch.Size, indices: Tensor) -> tuple[Tensor, ...]:
    return tuple(_positive(indices[..., i], shape[i]) for i in range(indices.shape[-1]))


def _positive(indices: Tensor, size: int) -> Tensor:
    """Returns indices counted from the start; raises IndexError for one beyond the axis."""
    indices = indices.long()
    if ((indices < -size) | (indices >= size)).any():
        raise IndexError(f"an index lies beyond the {size} values of the axis")
    return torch.where(indices < 0, indices + size, indices)
