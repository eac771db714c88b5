"""A graph that computes the same whatever strides its tensors have.

``view`` and ``view_as_complex`` take the strides that PyTorch's kernels left in the model as its author wrote it.
Rewrites leave others: without a copy that changes no value, such as ``contiguous``, what reads it may be refused.
"""

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.replay import Replay
from mobilevit_deploy.graph.sample import Sample

aten = torch.ops.aten


def on_any_strides(graph: Graph, sample: Sample) -> Graph:
    """Returns a graph with ``reshape`` for every ``view``, and a copy in front of what else is refused.

    Args:
        graph: left as it is.
        sample: (B, C, H, W), or a tensor for each input.
    """
    edited = graph.copy()
    for node in edited.calls(aten.view):
        if node.target is aten.view.default:
            node.target = aten.reshape.default
    replay = Replay(edited.graph, edited.weights)
    replay.outputs(sample)
    for node in replay.on_copies:
        with edited.before(node):
            for item in node.all_input_nodes:
                if isinstance(item.meta["val"], Tensor):
                    node.replace_input_with(item, _copied(edited, item))
    return edited


def _copied(graph: Graph, node: Node) -> Node:
    return graph.call(aten.clone.default, node, like=node, memory_format=torch.contiguous_format)
