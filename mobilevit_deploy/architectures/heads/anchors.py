"""Anchors and points, and boxes from what a head says of them.

Sources: Ren et al., "Faster R-CNN", arXiv 1506.01497, equation 2; Tian et al., "FCOS", arXiv 1904.01355, equation 1.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.catalog.head_declaration import Anchors, Boxes, Layout, Levels


def anchor_shapes(octave_base_scale: float, scales_per_octave: int, ratios: Sequence[float]) -> Anchors:
    """Returns the anchors of MMDetection's RetinaNet: of one height over width after the other, from small to large.

    Args:
        octave_base_scale: side of the smallest square, in strides.
        scales_per_octave: sizes up to twice that.
        ratios: height over width.
    """
    sizes = tuple(octave_base_scale * 2 ** (i / scales_per_octave) for i in range(scales_per_octave))
    return Anchors(sizes=(sizes,), ratios=tuple(ratios), unit="strides")


class BoxDecoder:
    """From a head's four values of each box to boxes; what it does is chosen by data.

    Boxes that begin in cells go by level, then by row, column and anchor.
    """

    def __init__(self, boxes: Boxes, levels: Levels | None = None, anchors: Anchors | None = None) -> None:
        self.boxes, self.levels, self.anchors = boxes, levels, anchors

    @property
    def strides(self) -> tuple[int, ...]:
        """Returns those of the levels; none where nothing depends on them."""
        return self.levels.strides if self.levels else ()

    @property
    def anchor_count(self) -> int:
        """Returns how many boxes begin in a cell."""
        return self.anchors.count if self.anchors else 1

    def __call__(self, values: Tensor, height: int, width: int) -> Tensor:
        """Returns boxes (B, N, 4), x1, y1, x2, y2 in pixels.

        Args:
            values: (B, N, 4).
            height: of the image, in pixels.
            width: likewise.
        """
        rule = self.boxes
        if rule.format == "deltas":
            assert self.anchors is not None  # a declaration is looked at when it is read
            boxes = move_boxes(rule, values, *self._cells_as(values, height, width))
        elif rule.format == "ltrb":
            points, steps = self._cells_as(values, height, width)
            distances = values * torch.cat((steps, steps), dim=1) if rule.unit == "strides" else values
            distances = _in_pixels(distances, rule, height, width)
            boxes = torch.cat((points - distances[..., :2], points + distances[..., 2:]), dim=-1)
        else:
            boxes = _in_pixels(values, rule, height, width)
            if rule.format == "cxcywh":
                centres, half = boxes[..., :2], boxes[..., 2:] * 0.5
                boxes = torch.cat((centres - half, centres + half), dim=-1)
        return clip_boxes(boxes, height, width) if rule.clip else boxes

    def _cells_as(self, values: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        points, sides = self.cells(height, width)
        return points.to(values.dtype), sides.to(values.dtype)

    def cells(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Returns points (N, 2), x and y; and width and height of their anchors, or of the cells, (N, 2); in pixels.

        Args:
            height: of the image, in pixels.
            width: likewise.
        """
        assert self.levels is not None  # as above
        maps = self.levels.maps(height, width)
        shapes_of = self.anchors.of_levels(len(maps)) if self.anchors else (((1.0, 1.0),),) * len(maps)
        unit = self.anchors.unit if self.anchors else "strides"
        points, sides = [], []
        for (rows, columns), stride, shapes in zip(maps, self.levels.strides, shapes_of, strict=True):
            step = (stride, stride) if self.levels.spacing == "stride" else (width / columns, height / rows)
            factor = {"pixels": (1, 1), "fractions": (width, height), "strides": step}[unit]
            y, x = np.mgrid[:rows, :columns].reshape(2, -1)
            points.append(np.repeat((np.stack((x, y), axis=1) + self.levels.centre) * step, len(shapes), axis=0))
            sides.append(np.tile(np.multiply(shapes, factor), (rows * columns, 1)))
        point, side = (torch.from_numpy(np.concatenate(parts).astype(np.float32)) for parts in (points, sides))
        return point, side


def move_boxes(rule: Boxes, deltas: Tensor, centres: Tensor, sides: Tensor) -> Tensor:
    """Returns boxes that were moved by deltas (..., 4), as corners (..., 4).

    Args:
        rule: of format ``deltas``; its clipping to the image is left to the caller.
        deltas: (..., 4): of the centre, in sides of the box; the logarithms of the new sides over those.
        centres: x and y, (..., 2).
        sides: width and height, (..., 2).
    """
    if rule.stds != (1.0, 1.0, 1.0, 1.0):
        deltas = deltas * torch.tensor(rule.stds).to(deltas.dtype)
    moved = centres + deltas[..., :2] * sides
    scales = deltas[..., 2:]
    limits = [math.log(scale) if scale else None for scale in (rule.smallest_scale, rule.largest_scale)]
    if limits != [None, None]:
        scales = scales.clamp(*limits)
    half = sides * scales.exp() * 0.5
    return torch.cat((moved - half, moved + half), dim=-1)


def clip_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Returns boxes (..., 4) that end at the border of an image of a size in pixels."""
    limits = torch.tensor([width, height, width, height]).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def by_box(levels: Sequence[Tensor], layout: Layout | None, anchors: int) -> Tensor:
    """Returns what a head says of its boxes as (B, N, C): level by level, of a map by row, column and anchor.

    Args:
        levels: in their own layout; in a map the C values of one anchor stand together among the channels.
        layout: of their axes; None for BNC of three, BCHW of four.
        anchors: of each cell of a map.
    """
    flat = [_level_by_box(level, layout or default_layout(level), anchors) for level in levels]
    return torch.cat(flat, dim=1) if len(flat) > 1 else flat[0]


def default_layout(values: Tensor) -> Layout:
    """Returns the layout of an output of which none is declared."""
    return "BCHW" if values.ndim == 4 else "BNC"


def _level_by_box(values: Tensor, layout: Layout, anchors: int) -> Tensor:
    if layout == "BNC":
        return values
    if layout == "BCN":
        return values.transpose(1, 2)
    rows_first = values.permute(0, 2, 3, 1) if layout == "BCHW" else values
    return rows_first.reshape(values.shape[0], -1, rows_first.shape[3] // anchors)


def _in_pixels(values: Tensor, rule: Boxes, height: int, width: int) -> Tensor:
    if rule.unit != "fractions":
        return values
    return values * torch.tensor([width, height, width, height]).to(values.dtype)
