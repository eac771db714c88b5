"""Sampling at computed places.

Source: coremltools' ``mil/ops/defs/iOS15/image_resizing.py``, resample.
"""

import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation

# PyTorch's reflection is about the centres of the outermost pixels where corners are aligned, else about their edges.
_PADDING = {
    ("constant", True): "zeros",
    ("constant", False): "zeros",
    ("border", True): "border",
    ("border", False): "border",
    ("reflection", True): "reflection",
    ("symmetric", False): "reflection",
}


@operation()
def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """Values of x (B, C, H1, W1) at coordinates (B, H2, W2, 2), each (x, y) from the left upper corner."""
    if coordinates_mode == "normalized_zero_to_one":
        coordinates = 2 * coordinates - 1
    elif coordinates_mode != "normalized_minus_one_to_one":
        raise ValueError(f"coordinates_mode {coordinates_mode} is not known")
    padding = _PADDING.get((padding_mode, align_corners))
    if padding is None or sampling_mode not in ("bilinear", "nearest"):
        raise ValueError(f"{sampling_mode} with {padding_mode} and align_corners {align_corners} is not known")
    grid = coordinates.to(x.dtype)
    offset = padding_value if padding == "zeros" else 0.0
    return F.grid_sample(x - offset, grid, sampling_mode, padding, align_corners) + offset
