"""Writes a transposed convolution as a convolution and a pixel shuffle.

::

    conv_transpose2d(x, W, b, stride 1)   ->   crop(conv2d(x, flipped W, b))
    conv_transpose2d(x, W, b, stride s)   ->   crop(pixel_shuffle(conv2d(x, W', b'), s))

With stride s an output row ``t = q * s + r`` (counted before the padding is cut off) reads only the taps
``r, r + s, r + 2s, ...`` of the kernel: each of the s phases r is a convolution of stride 1 with
``ceil(K / s)`` taps, K = dilation * (k - 1) + 1. All phases are computed as s * s channels per channel and
interleaved by the shuffle; what padding cuts off is cropped, and a dilated kernel is written with its zeros.

Why it hurts: transposed convolution is the op that runtimes leave out or run on a slow path, grouped and
dilated ones most of all. Where k is no multiple of s the phases are filled up with zero taps, which are
computed. Kernel = stride, without padding, costs nothing extra: it is a 1x1 convolution and a shuffle.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceDeconvolution(Rewrite):
    """``conv2d``, then a shuffle where there is a stride, then ``slice`` where there is padding."""

    name: ClassVar[str] = "replace_deconvolution"
    source: ClassVar[str] = "Shi et al., arXiv 1609.07009: a deconvolution is a convolution in sub-pixel order"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.conv_transpose2d)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        x: Node = given["input"]
        if len(shape(x)) != 4:
            raise Refusal("the input is no batch of maps")
        weight, bias = layer_weights(graph, node)
        rows, columns = _axes(node)
        dilation = (rows.dilation, columns.dilation) if rows.stride == columns.stride == 1 else (1, 1)
        weight = _sub_pixel_weight(weight, given["groups"], rows, columns, keep_dilation=dilation != (1, 1))
        phases = rows.stride * columns.stride
        name = str(given["weight"].target)
        with graph.before(node):
            new_weight = graph.add_weight(name, weight)
            new_bias = None
            if bias is not None:
                new_bias = graph.add_weight(str(given["bias"].target), bias.repeat_interleave(phases))
            padding = [rows.pad, columns.pad]
            settings = (new_weight, new_bias, [1, 1], padding, list(dilation), given["groups"])
            y = graph.call(aten.conv2d.default, x, *settings, like=node)
            if phases > 1:
                y = _interleave(graph, y, rows.stride, columns.stride, node)
            for dim, axis in ((2, rows), (3, columns)):
                if axis.offset or shape(y)[dim] != axis.length:
                    y = graph.call(aten.slice.Tensor, y, dim, axis.offset, axis.offset + axis.length, like=node)
        graph.replace(node, y)


@dataclass(frozen=True)
class Axis:
    """One axis of a transposed convolution, and of the convolution in its place.

    Attributes:
        taps: of the kernel, ``extent`` with the dilation's zeros, ``steps`` per phase.
        pad: zeros that the convolution adds on both sides.
        offset: where in the shuffled map the output begins.
        length: of the output.
    """

    taps: int
    stride: int
    dilation: int
    pad: int
    offset: int
    length: int

    @property
    def extent(self) -> int:
        return self.dilation * (self.taps - 1) + 1

    @property
    def steps(self) -> int:
        return -(-self.extent // self.stride)

    @classmethod
    def of(cls, size: int, length: int, taps: int, stride: int, padding: int, dilation: int) -> "Axis":
        """Reads the settings of one axis; ``size`` is that of the input and ``length`` that of the output."""
        steps = -(-(dilation * (taps - 1) + 1) // stride)
        first, last = padding // stride, (padding + length - 1) // stride  # of the rows q that the output reads
        left, right = steps - 1 - first, last - (size - 1)  # zeros that they need; negative: rows of x not needed
        pad = max(left, right, 0)
        return cls(taps, stride, dilation, pad, (pad - left) * stride + padding - first * stride, length)


def _axes(node: Node) -> tuple[Axis, Axis]:
    given = arguments(node)
    settings = zip(
        shape(given["input"])[2:],
        shape(node)[2:],
        shape(given["weight"])[2:],
        as_pair(given["stride"]),
        as_pair(given["padding"]),
        as_pair(given["dilation"]),
        strict=True,
    )
    rows, columns = (Axis.of(*values) for values in settings)
    return rows, columns


def _sub_pixel_weight(weight: Tensor, groups: int, rows: Axis, columns: Axis, keep_dilation: bool) -> Tensor:
    """Returns (out * s * s, in / groups, steps, steps) for a weight (in, out / groups, k, k)."""
    grouped = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)  # (groups, out/g, in/g, k, k)
    weight = grouped.flatten(0, 1)  # (out, in/g, k, k)
    if keep_dilation:
        return weight.flip(2, 3)
    full = weight.new_zeros(*weight.shape[:2], rows.steps * rows.stride, columns.steps * columns.stride)
    full[:, :, : rows.extent : rows.dilation, : columns.extent : columns.dilation] = weight
    phased = full.reshape(*weight.shape[:2], rows.steps, rows.stride, columns.steps, columns.stride)
    phased = phased.permute(0, 3, 5, 1, 2, 4).flip(4, 5)  # (out, s, s, in/g, steps, steps)
    return phased.flatten(0, 2)


def _interleave(graph: Graph, y: Node, down: int, across: int, like: Node) -> Node:
    """(B, C * down * across, H, W) to (B, C, H * down, W * across)."""
    if down == across:
        return graph.call(aten.pixel_shuffle.default, y, down, like=like)
    batch, channels, height, width = shape(y)
    channels //= down * across
    y = graph.call(aten.reshape.default, y, [batch * channels, down, across, height, width], like=like)
    y = graph.call(aten.permute.default, y, [0, 3, 1, 4, 2], like=like)
    return graph.call(aten.reshape.default, y, [batch, channels, height * down, width * across], like=like)
