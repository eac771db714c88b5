"""Which ATen calls PyTorch's ONNX exporter takes: those of its registry, and what it takes apart to them by itself."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from onnxscript.function_libs.torch_lib import ops as _ops  # noqa: F401 - fills the registry
from onnxscript.function_libs.torch_lib.registration import default_registry
from torch.fx import Node
from torch.onnx._internal.exporter import _registration
from torch.onnx._internal.exporter._decomp import create_onnx_friendly_decomposition_table
from torch.onnx._internal.exporter._torchlib import _torchlib_registry

from mobilevit_deploy.architectures.operations.roi_align import ROI_ALIGN
from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.graph.graph import Packet, arguments, is_call, shape
from mobilevit_deploy.rewrites.decomposition import Table
from mobilevit_deploy.targets.lowering import (
    divides_otherwise,
    has_boolean_mask,
    has_complex,
    measures_the_batch,
    takes_parts,
)

aten = torch.ops.aten


def takes(node: Node) -> bool:
    """Tells whether the exporter takes a call of ATen."""
    if has_complex(node) or any(is_call(node, packet) and is_refused(node) for packet, is_refused in REFUSED.items()):
        return False
    return _registered(node) or takes_parts(node, _registered, _table())


def _registered(node: Node) -> bool:
    return node.target in (SUPPRESS, ROI_ALIGN) or node.target in registered_calls()


@cache
def registered_calls() -> frozenset[Any]:
    """Returns the calls in the exporter's registry, without making it: that reads the source of each translation.

    The exporter makes one by itself, 2 s each time; which calls are in it, names tell in 10 ms.
    """
    newest = _registration.ONNXRegistry().opset_version
    own = {meta.fx_target for meta in _torchlib_registry.get_torchlib_ops() if meta.opset_introduced <= newest}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)  # it warns of torchvision's ops where that is not installed
        named = {
            _registration._get_overload(name) for name, _ in default_registry.items() if not name.startswith("internal")
        }
    finally:
        logger.setLevel(level)
    return frozenset(own | named) - {None}


@cache
def _table() -> Table:
    table: Table = create_onnx_friendly_decomposition_table(set(registered_calls()))
    return table


def _has_other_ranks_heads_or_masks(node: Node) -> bool:
    given = arguments(node)
    if has_boolean_mask(node):
        return True  # a query that may look at nothing looks at everything
    query, key, value = (shape(given[name]) for name in ("query", "key", "value"))
    if not len(query) == len(key) == len(value) == 4:
        return True
    return len({query[1], key[1], value[1]}) > 1 and not given["enable_gqa"]  # opset 23 wants as many heads in each


def _has_projections(node: Node) -> bool:
    """Tells whether an LSTM's output is projected, for which ONNX has no weights."""
    hidden, cell = arguments(node)["hx"]
    return shape(hidden) != shape(cell)


def _masks_some_axes(node: Node) -> bool:
    """Tells whether a mask is of other axes than the first."""
    indices = arguments(node)["indices"]
    return None in indices and any(item is not None and item.meta["val"].dtype == torch.bool for item in indices)


def _spans_the_image(node: Node) -> bool:
    """Tells whether a histogram lies between the image's own smallest and largest value."""
    given = arguments(node)
    return bool(given["min"] == given["max"])


def _is_named_otherwise(_node: Node) -> bool:
    """Tells that the exporter makes a ``sub`` of it, and then counts on: each ``sub`` behind has another one's name."""
    return True


# Forms that the exporter refuses, writes wrong, or gives the names of others; tests/targets/onnx/test_lowering.py holds
# them.
REFUSED: dict[Packet, Callable[[Node], bool]] = {
    aten.avg_pool2d: divides_otherwise,
    aten.batch_norm: measures_the_batch,  # it is written with the running statistics
    aten.histc: _spans_the_image,
    aten.index_put: _masks_some_axes,
    aten.lstm: _has_projections,
    aten.rsub: _is_named_otherwise,
    aten.scaled_dot_product_attention: _has_other_ranks_heads_or_masks,
}
