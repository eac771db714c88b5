"""Writes an unpooling by comparisons: each value goes where its window had its largest one.

::

    _, places = max_pool2d(x, k, return_indices=True);  max_unpool2d(y, places, k)
        ->   pixel_shuffle(where(first largest of its window, y, 0), k)

for windows that neither overlap nor are padded, the layers of SegNet. The windows of ``x`` are its k * k sub-images
(``pixel_unshuffle``). Where several values of a window are the largest, the first counts, as in PyTorch.
Why it hurts: no converter returns a pool's indices for Core ML, and a scatter leaves the Neural Engine.
"""

import operator
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, as_pair, is_call, readers, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceMaxUnpool(Rewrite):
    """Comparisons and a shuffle in place of ``max_unpool2d``."""

    name: ClassVar[str] = "replace_max_unpool"
    source: ClassVar[str] = "Badrinarayanan et al., arXiv 1511.00561: SegNet; PyTorch's definition of max_unpool2d"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(aten.max_unpool2d)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        values, sizes = given["self"], [int(size) for size in given["output_size"]]
        pooled, factor = _pool(given["indices"])
        rows, columns = (factor * size for size in shape(values)[-2:])
        if sizes[0] < rows or sizes[1] < columns:
            raise Refusal("the output is smaller than the windows")
        if list(shape(pooled)[-2:]) != sizes:
            raise Refusal("the output has another size than what was pooled, so that places count other rows")
        with graph.before(node):
            cut = graph.call(aten.slice.Tensor, pooled, -2, 0, rows, like=node)
            cut = graph.call(aten.slice.Tensor, cut, -1, 0, columns, like=node)
            chosen = _choose(graph, cut, values, factor, node)
            result = graph.call(aten.pixel_shuffle.default, chosen, factor, like=node)
            if sizes != [rows, columns]:
                margin = [0, sizes[1] - columns, 0, sizes[0] - rows]
                result = graph.call(aten.constant_pad_nd.default, result, margin, 0.0, like=node)
        pool = given["indices"].args[0]
        graph.replace(node, result)
        _drop_places(graph, pool)


def _drop_places(graph: Graph, pool: Node) -> None:
    """Writes a pool without places where only its values are read."""
    if pool._erased or any(reader.args[1] == 1 for reader in pool.users):
        return
    with graph.before(pool):
        given = arguments(pool)
        kernel = list(as_pair(given["kernel_size"]))
        plain = graph.call(aten.max_pool2d.default, given["self"], kernel, kernel, like=pool)
    for reader in readers(pool):
        graph.replace(reader, plain)


def _pool(places: object) -> tuple[Node, int]:
    """Returns what was pooled, and the side of the windows."""
    if not isinstance(places, Node) or places.target is not operator.getitem:
        raise Refusal("the places are not those of a pool")
    pool = places.args[0]
    if not is_call(pool, aten.max_pool2d_with_indices):
        raise Refusal("the places are not those of a pool")
    given = arguments(pool)  # type: ignore[arg-type]  # is_call accepts nodes only
    kernel, stride = as_pair(given["kernel_size"]), as_pair(given["stride"] or given["kernel_size"])
    plain = as_pair(given["padding"]) == (0, 0) and as_pair(given["dilation"]) == (1, 1) and not given["ceil_mode"]
    if kernel != stride or kernel[0] != kernel[1] or not plain or len(shape(given["self"])) != 4:
        raise Refusal("the pool's windows overlap, or are no squares, or are padded")
    pooled: Node = given["self"]
    return pooled, kernel[0]


def _choose(graph: Graph, pooled: Node, values: Node, factor: int, like: Node) -> Node:
    """Returns the values at the sub-image that has the first largest value, and zeros, (N, C * factor ** 2, H, W)."""
    batch, channels, height, width = shape(values)
    area = factor * factor
    images = graph.call(aten.pixel_unshuffle.default, pooled, factor, like=like)
    images = graph.call(aten.reshape.default, images, [batch * channels, area, height, width], like=like)
    largest = graph.call(aten.amax.default, images, [1], True, like=like)
    spread = graph.call(aten.reshape.default, values, [batch * channels, 1, height, width], like=like)
    parts: list[Node] = []
    for i in range(area):
        image = graph.call(aten.slice.Tensor, images, 1, i, i + 1, like=like)
        there = graph.call(aten.ge.Tensor, image, largest, like=like)
        if parts:
            before = graph.call(aten.slice.Tensor, images, 1, 0, i, like=like)
            earlier = before if i == 1 else graph.call(aten.amax.default, before, [1], True, like=like)
            free = graph.call(aten.lt.Tensor, earlier, largest, like=like)
            there = graph.call(aten.logical_and.default, there, free, like=like)
        parts.append(graph.call(aten.where.ScalarOther, there, spread, 0.0, like=like))
    joined = graph.call(aten.cat.default, parts, 1, like=like)
    return graph.call(aten.reshape.default, joined, [batch, channels * area, height, width], like=like)
