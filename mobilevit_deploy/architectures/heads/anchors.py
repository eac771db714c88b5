"""Anchors, and boxes from what a head says of them.

Source: Ren et al., "Faster R-CNN", arXiv 1506.01497, equation 2; the order of the anchors and the limits as in
https://github.com/open-mmlab/mmdetection 3.3.0 (``AnchorGenerator``, ``DeltaXYWHBBoxCoder``).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST_SCALE = abs(math.log(16 / 1000))  # of the logarithm of a side over its anchor's


def anchor_shapes(octave_base_scale: float, scales_per_octave: int, ratios: Sequence[float]) -> Tensor:
    """Returns (anchors, 2), width and height in strides; of one height over width after the other, from small to large.

    Args:
        octave_base_scale: side of the smallest square.
        scales_per_octave: sizes up to twice that.
        ratios: height over width.
    """
    scales = [octave_base_scale * 2 ** (i / scales_per_octave) for i in range(scales_per_octave)]
    return torch.tensor([[scale / ratio**0.5, scale * ratio**0.5] for ratio in ratios for scale in scales])


def grid_anchors(maps: Sequence[Tensor], strides: Sequence[int], shapes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns centres (x, y) and sides (width, height) of all anchors, each (N, 2), in pixels.

    They go by level, then by row, column and shape. The first centre of each level is the image's corner.

    Args:
        maps: of the levels, (B, C, H, W); what is in them does not matter.
        strides: of the levels, in pixels.
        shapes: (anchors, 2), from ``anchor_shapes``.
    """
    centres, sides = [], []
    for x, stride in zip(maps, strides, strict=True):
        height, width = x.shape[2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        corners = (torch.stack((columns, rows), dim=-1) * stride).to(shapes.dtype)  # (H, W, 2)
        centres.append(corners[:, :, None].expand(-1, -1, len(shapes), -1).reshape(-1, 2))
        sides.append((shapes * stride).repeat(height * width, 1))
    return torch.cat(centres), torch.cat(sides)


def decode_boxes(deltas: Tensor, centres: Tensor, sides: Tensor, height: int, width: int) -> Tensor:
    """Returns boxes (B, N, 4), x1, y1, x2, y2 in pixels, clipped to the image.

    Args:
        deltas: (B, N, 4): how far the centre is moved, in sides of the anchor; logarithms of the sides over its own.
        centres: (N, 2), of the anchors.
        sides: (N, 2), of the anchors.
        height: of the image, in pixels.
        width: likewise.
    """
    moved = centres + deltas[..., :2] * sides
    half = sides * deltas[..., 2:].clamp(-LARGEST_SCALE, LARGEST_SCALE).exp() * 0.5
    boxes = torch.cat((moved - half, moved + half), dim=-1)
    limits = torch.tensor([width, height, width, height]).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)
