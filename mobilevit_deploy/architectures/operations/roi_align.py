"""Parts of a map, each brought to one size, as one op of the graph: ``mvd::roi_align``, which ATen lacks.

Its kernel is the plain definition, of which a target's own operation is a faster form. Source: He et al., "Mask R-CNN",
arXiv 1703.06870, section 3; the half pixel and the number of samples as in MMCV's ``RoIAlign(aligned=True,
sampling_ratio=0)`` and ONNX's ``RoiAlign`` of opset 16 (``half_pixel``, ``sampling_ratio`` 0).
"""

import math

import torch
from torch import Tensor


@torch.library.custom_op("mvd::roi_align", mutates_args=())
def roi_align(features: Tensor, boxes: Tensor, scale: float, size: int) -> Tensor:
    """Returns the map below each box, (K, C, size, size): the means over the cells of a grid.

    A cell is sampled at the centres of a grid of its own, as fine as the map: a box that is h of the map's pixels high
    has h / size of them in a cell, rounded up. A sample is interpolated between the centres of the four pixels around
    it; beyond the outermost centres the map goes on as it is there, and more than a pixel beyond them it is 0. A box
    without width or height gives 0.

    Args:
        features: (1, C, H, W).
        boxes: (K, 4), x1, y1, x2, y2 in pixels of the image.
        scale: the map's sides over the image's.
        size: cells of the grid in each direction.
    """
    pixels = features[0].permute(1, 2, 0).contiguous()  # (H, W, C): what lies side by side is one matrix product
    height, width, channels = pixels.shape
    pooled = features.new_zeros(len(boxes), size, size, channels)
    # From the map's own corner to the centre of its first pixel it is half a pixel.
    for i, (x1, y1, x2, y2) in enumerate((boxes * scale - 0.5).tolist()):
        if x2 > x1 and y2 > y1:
            rows, top = _weights(y1, y2, height, size, features)
            columns, left = _weights(x1, x2, width, size, features)
            part = pixels[top : top + rows.shape[1], left : left + columns.shape[1]]  # (h, w, C)
            pooled[i] = columns @ (rows @ part.flatten(1)).view(size, *part.shape[1:])
    return pooled.permute(0, 3, 1, 2).contiguous()


ROI_ALIGN = torch.ops.mvd.roi_align.default


@roi_align.register_fake
def _shapes(features: Tensor, boxes: Tensor, scale: float, size: int) -> Tensor:  # noqa: ARG001 - of the op
    return features.new_empty(boxes.shape[0], features.shape[1], size, size)


def _weights(begin: float, end: float, length: int, size: int, like: Tensor) -> tuple[Tensor, int]:
    """Returns by how much each pixel of a side counts for each cell, (size, pixels), and the first of these pixels.

    A sample's four weights are products of those of its row and of its column, so a box is two matrix products.

    Args:
        begin: of the box, from the centre of the side's first pixel on.
        end: likewise.
        length: of the side, in pixels.
        size: number of cells.
        like: whose dtype the weights have.
    """
    step = (end - begin) / size
    count = math.ceil(step)
    samples = begin + step * (torch.arange(size * count, dtype=torch.float64) + 0.5) / count
    inside = (samples >= -1) & (samples <= length)
    samples = samples.clamp(0, length - 1)
    low = samples.floor().long()
    high = (low + 1).clamp(max=length - 1)
    share = samples - low
    first, last = int(low.min()), int(high.max())
    weights = torch.zeros(size * count, last - first + 1, dtype=torch.float64)
    weights.scatter_add_(1, (low - first)[:, None], ((1 - share) * inside)[:, None])
    weights.scatter_add_(1, (high - first)[:, None], (share * inside)[:, None])
    return weights.view(size, count, -1).mean(dim=1).to(like.dtype), first
