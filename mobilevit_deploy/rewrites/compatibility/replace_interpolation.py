"""Writes an interpolation that converters lack, or get wrong, as two matrix products.

::

    interpolate(x)   ->   rows @ x @ columns^T        rows (H_out, H_in) and columns (W_out, W_in) of constants

for bilinear and bicubic resizing with ``antialias``, bicubic, ``nearest-exact``, and a ``scale_factor`` that is not the
ratio of the sizes. The matrices are what the op itself makes of unit vectors: each of these is linear and separable.
Why it hurts: coremltools 9.0 loses ``antialias`` (an error as large as the values), takes the scale of ``nearest`` anew
from the sizes, and refuses the others.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

LACKING = (
    aten._upsample_bilinear2d_aa,
    aten._upsample_bicubic2d_aa,
    aten.upsample_bicubic2d,
    aten._upsample_nearest_exact2d,
)
SCALED = (aten.upsample_nearest2d, aten.upsample_bilinear2d)


class ReplaceInterpolation(Rewrite):
    """Matrix products with constants along both axes."""

    name: ClassVar[str] = "replace_interpolation"
    source: ClassVar[str] = "linearity and separability of the op, whose own results are the matrices"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(*LACKING, *SCALED):
            if is_call(node, *LACKING) or has_inexact_scale(node):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        result: Node = given["input"] if "input" in given else given["self"]
        with graph.before(node):
            rows, columns = (_matrix(node, axis, _axes(node)[axis][0]) for axis in (-2, -1))
            if not _is_identity(rows):
                result = graph.call(aten.matmul.default, graph.add_weight("rows", rows), result, like=node)
            if not _is_identity(columns):
                result = graph.call(aten.matmul.default, result, graph.add_weight("columns", columns.T), like=node)
        graph.replace(node, result)


def has_inexact_scale(node: Node) -> bool:
    """Tells whether an interpolation steps by a scale that gives other values than the ratio of its sizes."""
    for axis, (scale, size, target) in zip((-2, -1), _axes(node), strict=True):
        inexact = scale is not None and scale * size != target
        if inexact and not torch.equal(_matrix(node, axis, scale), _matrix(node, axis, None)):
            return True
    return False


def _axes(node: Node) -> list[tuple[float | None, int, int]]:
    """Returns scale factor, size and target size of height and width."""
    given = arguments(node)
    x: Node = given["input"] if "input" in given else given["self"]
    scales = given.get("scale_factors") or [given.get("scales_h"), given.get("scales_w")]
    return list(zip(scales, shape(x)[2:], shape(node)[2:], strict=True))


def _matrix(node: Node, axis: int, scale: float | None) -> Tensor:
    """Returns what the op does along an axis at a scale, (target size, size)."""
    assert isinstance(node.target, torch._ops.OpOverload)  # candidates are calls of ATen
    _, size, target = _axes(node)[axis]
    given = arguments(node)
    corners = [given["align_corners"]] if "align_corners" in given else []
    units = torch.eye(size, dtype=node.meta["val"].dtype)
    # Resized in height alone. As maps of width 1 the units would do, but PyTorch 2.13 misreads those with antialias.
    sampled: Tensor = node.target.overloadpacket.default(units[None, None], [target, size], *corners, scale, None)
    return sampled[0, 0]


def _is_identity(matrix: Tensor) -> bool:
    return matrix.shape[0] == matrix.shape[1] and torch.equal(matrix, torch.eye(len(matrix), dtype=matrix.dtype))
