"""Ops that change the resolution of the last two axes.

Source: coremltools' ``mil/ops/defs/iOS15/image_resizing.py``, whose formulas for the sampled places are used as they
stand, and its later versions.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


def _spread(count: int, size: int) -> Tensor:
    """The first value at 0, the last at ``size - 1``; a single one at 0."""
    return torch.arange(count) * ((size - 1) / (count - 1) if count > 1 else 0.0)


def _centred_when_single(count: int, size: int) -> Tensor:
    return torch.tensor([(size - 1) / 2]) if count == 1 else _spread(count, size)


def _offset_corners(count: int, size: int) -> Tensor:
    delta = max(1, size - 1) / count
    return 0.5 * delta + torch.arange(count) * delta


# Sampled places along an axis by mode, before they are clamped to the axis.
_PLACES: dict[str, Callable[[int, int], Tensor]] = {
    "STRICT_ALIGN_CORNERS": _spread,
    "ALIGN_CORNERS": _centred_when_single,
    "DEFAULT": lambda count, size: torch.arange(count) * (size / count),
    "OFFSET_CORNERS": _offset_corners,
    "UNALIGN_CORNERS": lambda count, size: (torch.arange(count) + 0.5) * (size / count) - 0.5,
}


@operation()
def resize_bilinear(
    x: Tensor, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    """Linear interpolation along both axes, at the places that the mode gives."""
    x = _interpolate(x, -2, target_size_height, sampling_mode)
    return _interpolate(x, -1, target_size_width, sampling_mode)


@operation()
def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """Linear interpolation to ``floor(size * scale)``; the scale is taken anew from the sizes."""
    if half_pixel_centers is None:
        half_pixel_centers = not align_corners
    if align_corners and half_pixel_centers:
        raise ValueError("align_corners and half_pixel_centers exclude one another")
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half_pixel_centers else "DEFAULT"
    height, width = _scaled(x, scale_factor_height, scale_factor_width)
    return resize_bilinear(x, height, width, mode)


@operation(rounds=False)
def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    """The value at ``floor(place * size / target size)`` along both axes."""
    return _pick(_pick(x, -2, target_size_height), -1, target_size_width)


@operation(rounds=False)
def upsample_nearest_neighbor(x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1) -> Tensor:
    """As ``resize_nearest_neighbor``, to ``floor(size * scale)``."""
    return resize_nearest_neighbor(x, *_scaled(x, scale_factor_height, scale_factor_width))


@operation()
def resize(
    x: Tensor,
    shape: list[int],
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """Resizes the last axes to the last entries of a shape, in which 0 keeps a size."""
    for axis in range(-resized_dims, 0):
        size = shape[axis] or x.shape[axis]
        if interpolation_mode == "LINEAR":
            x = _interpolate(x, axis, size, sampling_mode)
        elif interpolation_mode == "NEAREST_NEIGHBOR" and sampling_mode == "DEFAULT":
            x = _pick(x, axis, size)
        else:
            raise ValueError(f"{interpolation_mode} with {sampling_mode} is not known")
    return x


def _scaled(x: Tensor, height: float, width: float) -> tuple[int, int]:
    sizes = torch.tensor(x.shape[-2:]) * torch.tensor([height, width])  # in float32, where 10 * 2.3 is 23
    rows, columns = sizes.floor().int().tolist()
    return rows, columns


def _interpolate(x: Tensor, axis: int, count: int, mode: str) -> Tensor:
    size = x.shape[axis]
    if mode not in _PLACES:
        raise ValueError(f"unknown sampling_mode {mode}")
    places = _PLACES[mode](count, size).clamp(0, size - 1)
    lower = places.floor().long().clamp(max=max(size - 2, 0))
    weight = (places - lower).to(x.dtype).reshape(-1, *[1] * (-axis - 1))
    below, above = x.index_select(axis, lower), x.index_select(axis, (lower + 1).clamp(max=size - 1))
    return below + (above - below) * weight


def _pick(x: Tensor, axis: int, count: int) -> Tensor:
    return x.index_select(axis, torch.arange(count) * x.shape[axis] // count)
