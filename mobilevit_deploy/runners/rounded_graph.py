"""The rewritten graph in half precision, or with its weights in few bits: what an artifact of it cannot but lose."""

from collections.abc import Collection

import torch
from torch import Tensor

from mobilevit_deploy.graph.graph import Graph, module_path

to_copy = torch.ops.aten._to_copy.default

FEWEST_VALUES = 2048  # of a weight that is stored in fewer bits; coremltools leaves smaller ones as they are


def store_weights(graph: Graph, bits: int, *, per_channel: bool, keep: Collection[str] = ()) -> Graph:
    """Returns a graph whose large weights are on even, symmetric grids of so many bits.

    Args:
        graph: float32, left as it is.
        bits: of a value.
        per_channel: whether each first index of a weight has a grid of its own; else a weight has one, on which no
            table of as many values, chosen by the weight, loses more.
        keep: paths of the modules whose weights are left.
    """
    stored = graph.copy()
    steps = 2 ** (bits - 1) - 1
    for node in stored.nodes:
        weight = stored.weight(node)
        if weight is None or weight.ndim < 2 or weight.numel() <= FEWEST_VALUES or not weight.is_floating_point():
            continue
        if all(module_path(reader) in keep for reader in node.users):
            continue
        axes = tuple(range(1, weight.ndim)) if per_channel else tuple(range(weight.ndim))
        step = (weight.abs().amax(axes, keepdim=True) / steps).clamp(min=torch.finfo(weight.dtype).tiny)
        stored.weights[str(node.target)] = (weight / step).round() * step
    return stored


def round_to_half(graph: Graph, keep: Collection[str] = ()) -> Graph:
    """Returns a graph that computes in float32 and rounds its weights and every result to half precision.

    Args:
        graph: float32, left as it is.
        keep: paths of the modules that stay in float32.
    """
    rounded = graph.copy()
    for node in rounded.nodes:
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or value.dtype != torch.float32 or not node.users:
            continue
        if node.op == "get_attr":
            weight = rounded.weights[str(node.target)]
            if not all(module_path(reader) in keep for reader in node.users):
                rounded.weights[str(node.target)] = weight.half().float()
        elif node.op == "call_function" and module_path(node) not in keep:
            readers = list(node.users)
            with rounded.graph.inserting_after(node):
                half = rounded.call(to_copy, node, like=node, dtype=torch.float16)
            with rounded.graph.inserting_after(half):
                back = rounded.call(to_copy, half, like=node, dtype=torch.float32)
            for reader in readers:
                reader.replace_input_with(node, back)
    return rounded
