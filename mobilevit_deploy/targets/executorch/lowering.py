"""Which ATen calls ExecuTorch takes: those that it has kernels for, and what it takes apart to them by itself."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.rewrites.decomposition import Table
from mobilevit_deploy.targets.lowering import has_complex, takes_parts

KERNELS = "kernels/portable/functions.yaml"  # what its library of kernels is built from
KERNEL = re.compile(r"^- op: (\w+)", re.MULTILINE)


def takes(node: Node) -> bool:
    """Tells whether ExecuTorch takes a call of ATen."""
    return not has_complex(node) and (_has_kernel(node) or takes_parts(node, _has_kernel, _table()))


def _has_kernel(node: Node) -> bool:
    """Tells whether there is a kernel of a call's name; that of a view copies, and a batch norm's is functional."""
    name = op_name(node)
    return not _kernels().isdisjoint((name, f"{name}_copy", f"_{name}_legit"))


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
