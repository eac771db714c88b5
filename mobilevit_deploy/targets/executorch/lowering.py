"""Which ATen calls ExecuTorch takes: those that it has kernels for, and what it takes apart to them by itself."""

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Packet, is_call, op_name, shape
from mobilevit_deploy.rewrites.decomposition import Table
from mobilevit_deploy.targets.lowering import cuts_off, has_complex, has_vector_weight, measures_the_batch, takes_parts

aten = torch.ops.aten

KERNELS = "kernels/portable/functions.yaml"  # what its library of kernels is built from
KERNEL = re.compile(r"^- op: (\w+)", re.MULTILINE)
# Not in Core ATen, and taken all the same: executorch 1.5.1, exir/verification/verifier.py.
BESIDE_CORE = (aten.max.default, aten.min.default, aten.full_like.default)


def takes(node: Node) -> bool:
    """Tells whether ExecuTorch takes a call of ATen."""
    if has_complex(node) or any(is_call(node, packet) and is_worse(node) for packet, is_worse in WRITTEN_OUT.items()):
        return False
    return _has_kernel(node) or takes_parts(node, _has_kernel, _table())


def _has_kernel(node: Node) -> bool:
    """Tells whether a call is in Core ATen and has a kernel; that of a view copies, a batch norm's is functional."""
    assert isinstance(node.target, torch._ops.OpOverload), node  # callers ask of ATen calls
    if any(is_call(node, packet) and is_refused(node) for packet, is_refused in REFUSED.items()):
        return False
    name = op_name(node)
    if f"_{name}_legit" in _kernels():
        return True
    core = torch.Tag.core in node.target.tags or node.target in BESIDE_CORE
    return core and not _kernels().isdisjoint((name, f"{name}_copy"))


def _is_volume(node: Node) -> bool:
    return len(shape(node)) > 4


# What ExecuTorch takes apart by PyTorch's own rules, and worse than it is taken apart here.
WRITTEN_OUT: dict[Packet, Callable[[Node], bool]] = {
    # These guard rows that a mask hides whole: six passes over all scores that XNNPACK does not take. It takes two
    # products and a softmax.
    aten.scaled_dot_product_attention: lambda _: True,
    aten.linear: has_vector_weight,  # XNNPACK takes what comes of it, and cannot tell the shapes when it is run
}

# Calls for which there is a kernel, and not for this form; tests/targets/executorch/test_lowering.py holds them.
REFUSED: dict[Packet, Callable[[Node], bool]] = {
    aten.convolution: _is_volume,  # the kernel runs windows over one and two axes
    aten.constant_pad_nd: cuts_off,  # and what PyTorch makes of fold: it is converted, and does not run
    # They sum one value after the other: 2e-5 of the largest value of a norm of 32x32.
    aten.native_batch_norm: measures_the_batch,
    aten.native_group_norm: lambda _: True,
}


@cache
def _kernels() -> set[str]:
    found = find_spec("executorch")
    assert found is not None  # a target whose package is missing is refused before
    folder = Path(next(iter(found.submodule_search_locations or ())))
    return set(KERNEL.findall((folder / KERNELS).read_text(encoding="utf-8")))


@cache
def _table() -> Table:
    table: Table = torch.export.default_decompositions()
    return table
