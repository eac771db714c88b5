"""Clears the ceil mode of a pool where it changes nothing.

::

    max_pool(x, k, s, p, ceil_mode=True)   ->   max_pool(x, k, s, p)        likewise avg_pool

where the output has the same size: where the windows divide the input, and where the last one would begin behind it,
for that one PyTorch drops.
Why it hurts: coremltools 9.0 does not drop it where there is no padding, as with a kernel smaller than its stride. The
file then declares a larger output than is computed.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

POOLS = (aten.max_pool1d, aten.max_pool2d, aten.avg_pool1d, aten.avg_pool2d)


class ReplaceCeilMode(Rewrite):
    """A plain pool in place of one whose ceil mode adds no window."""

    name: ClassVar[str] = "replace_ceil_mode"
    source: ClassVar[str] = "PyTorch's aten/src/ATen/native/Pool.h, pooling_output_shape"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(*POOLS) if arguments(node)["ceil_mode"])

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        sizes, *_ = windows(node)
        if sizes != shape(node)[-len(sizes) :]:
            raise Refusal("it adds windows that reach beyond the input")
        values = [False if name == "ceil_mode" else value for name, value in given.items()]
        assert isinstance(node.target, torch._ops.OpOverload)  # candidates are calls of ATen
        with graph.before(node):
            graph.replace(node, graph.call(node.target, *values, like=node))


def drops_unpadded_window(node: Node) -> bool:
    """Tells whether PyTorch drops a last window along an axis without padding."""
    if not arguments(node)["ceil_mode"]:
        return False
    floor, ceiling, pads = windows(node)
    found = shape(node)[-len(floor) :]
    return any(size < most and not pad for size, most, pad in zip(found, ceiling, pads, strict=True))


def windows(node: Node) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Returns how many windows fit along each axis, how many begin within it and its padding, and the padding."""
    given = arguments(node)
    kernel = _per_axis(given["kernel_size"], 2 if "2d" in str(node.target) else 1)
    strides = _per_axis(given["stride"] or kernel, len(kernel))
    pads = _per_axis(given["padding"], len(kernel))
    dilation = _per_axis(given.get("dilation", 1), len(kernel))
    sizes = shape(given["self"])[-len(kernel) :]
    spare = [
        size + 2 * pad - gap * (window - 1) - 1
        for size, pad, gap, window in zip(sizes, pads, dilation, kernel, strict=True)
    ]
    floor = tuple(free // stride + 1 for free, stride in zip(spare, strides, strict=True))
    ceiling = tuple(-(-free // stride) + 1 for free, stride in zip(spare, strides, strict=True))
    return floor, ceiling, pads


def _per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    items = [value] if isinstance(value, int) else list(value)
    return tuple(items * axes if len(items) == 1 else items)
