"""The rewritten graph in half precision, by PyTorch: what an artifact of it cannot but lose."""

from collections.abc import Collection

import torch
from torch import Tensor

from mobilevit_deploy.graph.graph import Graph, module_path

to_copy = torch.ops.aten._to_copy.default


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
