"""Which ATen calls PyTorch's ONNX exporter takes: those of its registry, and what it takes apart to them by itself."""

import logging
from functools import cache
from typing import Any

import torch
from torch.fx import Node
from torch.onnx._internal.exporter._decomp import (
    create_onnx_friendly_decomposition_table,
    get_onnx_implemented_overloads,
)
from torch.onnx._internal.exporter._registration import ONNXRegistry

from mobilevit_deploy.architectures.operations.roi_align import ROI_ALIGN
from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.graph.graph import arguments, is_call, shape
from mobilevit_deploy.rewrites.decomposition import Table
from mobilevit_deploy.targets.lowering import has_complex, takes_parts

aten = torch.ops.aten


def takes(node: Node) -> bool:
    """Tells whether the exporter takes a call of ATen."""
    if has_complex(node) or _is_refused(node):
        return False
    return _registered(node) or takes_parts(node, _registered, _table())


def _is_refused(node: Node) -> bool:
    """Tells whether a call has a form of a registered op that the exporter refuses."""
    if is_call(node, aten.histc):  # between the image's own smallest and largest value
        return bool(arguments(node)["min"] == arguments(node)["max"])
    if not is_call(node, aten.scaled_dot_product_attention):
        return False
    given = arguments(node)
    query, key, value = (shape(given[name]) for name in ("query", "key", "value"))
    if not len(query) == len(key) == len(value) == 4:
        return True
    return len({query[1], key[1], value[1]}) > 1 and not given["enable_gqa"]  # opset 23 wants as many heads in each


def _registered(node: Node) -> bool:
    return node.target in (SUPPRESS, ROI_ALIGN) or bool(_registry().is_registered(node.target))


@cache
def _registry() -> Any:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)  # it warns of torchvision's ops where that is not installed
        return ONNXRegistry.from_torchlib()
    finally:
        logger.setLevel(level)


@cache
def _table() -> Table:
    table: Table = create_onnx_friendly_decomposition_table(set(get_onnx_implemented_overloads(_registry())))
    return table
