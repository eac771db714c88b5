"""Which ATen calls LiteRT's converter takes: those of its own table, and what it takes apart to them before.

The table is asked of the process that the converter runs in, once.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Packet, arguments, is_call, shape
from mobilevit_deploy.rewrites.decomposition import Table
from mobilevit_deploy.targets.litert.child import Child
from mobilevit_deploy.targets.lowering import (
    KnownCalls,
    ask_known_calls,
    has_complex,
    measures_the_batch,
    takes_parts,
)

aten = torch.ops.aten


def takes(node: Node) -> bool:
    """Tells whether the converter takes a call of ATen."""
    if has_complex(node) or any(is_call(node, packet) and is_refused(node) for packet, is_refused in REFUSED.items()):
        return False
    return _registered(node) or takes_parts(node, _registered, _known().decompositions)


def _registered(node: Node) -> bool:
    return str(node.target) in _known().calls


def _is_cut_or_has_gaps(node: Node) -> bool:
    """Tells whether a transposed convolution has gaps in its kernel, or other padding than TFLite's SAME and VALID."""
    given = arguments(node)
    if any(_of(given["dilation"], i) > 1 for i in range(2)):
        return True
    kernel, stride, padding, more = (given[name] for name in ("weight", "stride", "padding", "output_padding"))
    sizes = shape(kernel)[2:]
    axes = [(size, *(_of(option, i) for option in (stride, padding, more))) for i, size in enumerate(sizes)]
    return any(step > 1 and (pad or extra) and (extra or size - step != 2 * pad) for size, step, pad, extra in axes)


def _of(option: int | Sequence[int], axis: int) -> int:
    """Returns an option of one axis; one number is for all."""
    return option if isinstance(option, int) else option[axis % len(option)]


def _leaves_out_pixels(node: Node) -> bool:
    """Tells whether nearest neighbours are others than each pixel, a whole number of times."""
    (before, after) = (shape(item)[2:] for item in (arguments(node)["input"], node))
    return any(now % size for size, now in zip(before, after, strict=True))


def _has_single_columns(node: Node) -> bool:
    """Tells whether a linear layer reads maps, channels last, of one column, such as what a global average leaves."""
    x = shape(arguments(node)["input"])
    return len(x) > 3 and x[-2] == 1


# Calls that litert-torch 0.10 has a form for, and not in this way; tests/targets/litert/test_lowering.py has them.
REFUSED: dict[Packet, Callable[[Node], bool]] = {
    aten.batch_norm: measures_the_batch,  # the program then returns the statistics as well
    aten.conv_transpose2d: _is_cut_or_has_gaps,  # "failed to legalize operation 'mhlo.convolution'"
    aten.convolution: lambda node: bool(arguments(node)["transposed"]) and _is_cut_or_has_gaps(node),
    aten.linear: _has_single_columns,  # "'tfl.batch_matmul' op found invalid output rank, expected 3 but got 4"
    aten.col2im: lambda _: True,  # becomes a scatter that adds, as the next one does
    aten.index_put: lambda node: bool(arguments(node)["accumulate"]),  # "Only update, Add, ... are currently supported"
    aten.sort: lambda _: True,  # becomes an operator that LiteRT 2.3 has no kernel for
    aten.topk: lambda node: not arguments(node)["largest"],
    aten.upsample_nearest2d: _leaves_out_pixels,  # takes the pixel nearest to the centre, as "nearest-exact" does
}


@cache
def _known() -> KnownCalls:
    known: Table = {**torch._decomp.core_aten_decompositions(), **torch.export.default_decompositions()}
    return ask_known_calls(Child(), known)
