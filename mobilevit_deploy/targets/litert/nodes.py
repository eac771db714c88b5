"""Which of a file's tensors holds what a node of the exported program computes.

The converter names a tensor after all the nodes that it was made of, ``relu;;conv2d_1;``, and moves the channels of
maps to the end. The metadata says which tensors are a node's whole value, and which of them have their channels last.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import is_call, module_path
from mobilevit_deploy.graph.movement_chains import moves
from mobilevit_deploy.targets.litert.tflite.program import Operator, Program, Subgraph

aten = torch.ops.aten

KEY = "mvd.nodes"
# What the name of an operator with weights is sought for first: an activation that is fused with it stands before it.
CONVOLUTIONS = (aten.conv2d, aten.convolution, aten.conv_transpose2d)
PRODUCTS = (aten.linear, aten.addmm, aten.mm, aten.matmul)
LAYERS = {"CONV_2D": CONVOLUTIONS, "DEPTHWISE_CONV_2D": CONVOLUTIONS, "FULLY_CONNECTED": PRODUCTS}
MOVEMENTS = ("TRANSPOSE", "RESHAPE")  # what computes nothing: their values are those of what they read, moved
PLAIN, LAST = "plain", "channels_last"


@dataclass(frozen=True)
class Held:
    """A node by its name, and whether the tensor that holds its value has the channels last."""

    node: str
    channels_last: bool


def names_in(tensor: str) -> list[str]:
    """Returns the names of the nodes that a tensor was made of, as the converter writes them."""
    parts = tensor.split(";")
    return [part for part in parts if part and not part.isdigit()]


def owners(program: Program, nodes: Sequence[Node], ends: Sequence[Node]) -> list[tuple[str, str]]:
    """Returns pairs of the name of what an operator writes and the path of the module that it came from.

    Args:
        program: the float32 file.
        nodes: the calls of the exported program.
        ends: the nodes that it returns, in order.
    """
    calls = {node.name: node for node in nodes}
    graph = program.subgraphs[0]
    returned = dict(zip(graph.outputs, (node.name for node in ends), strict=True))
    found = []
    for operator in graph.operators:
        for number in operator.outputs[:1]:
            name = graph.values[number].name
            parts = [returned[number]] if number in returned else names_in(name)
            known = [calls[part] for part in parts if part in calls]
            layers = [node for node in known if is_call(node, *LAYERS.get(operator.kind, ()))]
            found += [(name, module_path(node)) for node in [*layers, *known][:1]]
    return found


def write_nodes(program: Program, nodes: Sequence[Node]) -> str:
    """Returns the metadata's text.

    Args:
        program: the float32 file.
        nodes: the calls of the exported program, in order.
    """
    order = {node.name: i for i, node in enumerate(nodes)}
    found: dict[str, tuple[str, str]] = {}
    graph = program.subgraphs[0]
    for operator in graph.operators:
        for place, number in enumerate(operator.outputs):
            value = graph.values[number]
            node = _node_of(operator, place, graph, nodes, order)
            layout = _layout(tuple(getattr(node.meta.get("val"), "shape", ())), value.shape) if node else None
            if node and layout:
                found[node.name] = (layout, value.name)  # of its parts, the last has the node's value
    held: dict[str, dict[str, str]] = {PLAIN: {}, LAST: {}}
    for name, (layout, tensor) in found.items():
        held[layout][tensor] = name
    return json.dumps(held, separators=(",", ":"))


def _node_of(
    operator: Operator, place: int, graph: Subgraph, nodes: Sequence[Node], order: Mapping[str, int]
) -> Node | None:
    """Returns the call whose value an operator returns at a place; None where the tensor's name tells of none."""
    known = [order[name] for name in names_in(graph.values[operator.outputs[place]].name) if name in order]
    # A layer's transpose of its weights, merged with another one, is named after both: `linear;;permute;`
    if operator.kind in MOVEMENTS:
        before = names_in(graph.values[operator.inputs[0]].name)
        known = [i for i in known if moves(nodes[i]) or nodes[i].name in before]
    if not known:
        return None
    node = nodes[max(known)]  # what others were merged into comes last
    if len(operator.outputs) > 1:  # as of topk: the node's parts are nodes, too
        return next((part for part in node.users if part.args[1:] == (place,)), node)
    return node


def _layout(node: tuple[int, ...], tensor: tuple[int, ...]) -> str | None:
    """Returns how a tensor has a node's value; None where it has not, or nobody can tell: 1x8x8x8 is either."""
    if len(node) == 4 and node[1] == node[2] == node[3] != 1:
        return None
    if node == tensor:
        return PLAIN
    turned = len(node) == 4 and tuple(node[axis] for axis in (0, 2, 3, 1)) == tensor
    return LAST if turned else None


def read_nodes(metadata: Mapping[str, str]) -> dict[str, Held]:
    """Returns the node by the name of the tensor that holds its value; nothing where the text is damaged."""
    try:
        held = json.loads(metadata.get(KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(held, dict):
        return {}
    return {
        str(tensor): Held(str(node), layout == LAST)
        for layout in (PLAIN, LAST)
        if isinstance(held.get(layout), dict)
        for tensor, node in held[layout].items()
    }
