"""Outputs that are values of their own, for converters that name a value once.

::

    return x, y, y        ->   return x * 1, y, y * 1

coremltools (9.0) gives an output's name to the input that it is, and refuses its own program for it; of a copy it
makes nothing, and a product it keeps where it is all that lies between the two. Core AI's converter (0.4.3) counts two
outputs that are one value as one.
"""

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mobilevit_deploy.graph.graph import is_call

aten = torch.ops.aten
COPIES = (aten.detach, aten.alias, aten.clone, aten.contiguous)


def give_outputs_own_values(program: ExportedProgram) -> None:
    """Multiplies by one what is returned as it came in, or a second time, in place; truth values are left."""
    end, signature = program.graph.output_node(), program.graph_signature
    returned = list(end.args[0])
    seen: set[Node] = {node for node in program.graph.nodes if node.name in signature.user_inputs}
    for i, node in enumerate(returned):
        if not isinstance(node, Node) or node.meta["val"].dtype == torch.bool:
            continue
        value = _value(node)
        if value not in seen:
            seen.add(value)
            continue
        with program.graph.inserting_before(end):
            product = program.graph.call_function(aten.mul.Tensor, (node, 1))
        product.meta = dict(node.meta)
        returned[i] = product
        signature.output_specs[i].arg.name = product.name
    end.args = (tuple(returned),)


def _value(node: Node) -> Node:
    """Returns the node whose value a copy has, which converters see through."""
    while is_call(node, *COPIES):
        node = node.all_input_nodes[0]
    return node
