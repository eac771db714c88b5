"""Which operations of a half-precision package stay in float32: what a user asks for, and how boxes are computed."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mobilevit_deploy.graph.candidates import COORDINATES
from mobilevit_deploy.graph.graph import is_call, module_path

ATEN = torch.ops.aten
# What a network computes its maps with. What follows the last of these only decodes boxes, and is little.
PRODUCTS = (
    *(ATEN.conv1d, ATEN.conv2d, ATEN.conv3d, ATEN.convolution, ATEN.conv_transpose2d),
    *(ATEN.linear, ATEN.addmm, ATEN.mm, ATEN.bmm, ATEN.baddbmm, ATEN.matmul),
)
BOXES = (COORDINATES, "boxes")  # outputs of these names hold boxes


class PrecisionChooser:
    """Tells coremltools which operations become half precision.

    Those of modules that are kept in float32 do not; nor do those that decode a detector's boxes, for half precision
    has steps of a quarter of a pixel from 256 on, and of half a pixel from 512 on. The anchors that these read are not
    compressed, either.

    coremltools hands each node's ``debug_handle``, ExecuTorch's link from an operation to its source, through the
    conversion and its passes; here it is the node's place in the program.

    Attributes:
        kept: the names of the operations that stay in float32, known after the conversion.
    """

    def __init__(self, program: ExportedProgram, keep: Collection[str], outputs: Sequence[str]) -> None:
        """Marks the nodes of a program.

        Args:
            program: that is converted.
            keep: paths of the modules that are kept in float32.
            outputs: names of the program's outputs, in order.
        """
        ends = zip(outputs, program.graph.output_node().args[0], strict=False)
        decoding = {node for name, end in ends if name in BOXES for node in _decoding(end)}
        self._places = set()
        self.kept: set[str] = set()
        for i, node in enumerate(program.graph.nodes):
            node.meta["debug_handle"] = i
            if module_path(node) in keep or node in decoding:
                self._places.add(i)

    def __call__(self, operation: Any) -> bool:
        from coremltools.converters.mil.mil.scope import ScopeSource

        handles = operation.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or [None]
        if operation.op_type == "const" or handles[0] not in self._places:
            return True
        self.kept.add(operation.name)
        return False


def _decoding(end: Node) -> set[Node]:
    """Returns the calls that compute an output from the last products before it; integers on the way are no part."""
    found: set[Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        value = node.meta.get("val")
        real = isinstance(value, torch.Tensor) and value.is_floating_point()
        if node.op != "call_function" or not real or node in found or is_call(node, *PRODUCTS):
            continue
        found.add(node)
        waiting += node.all_input_nodes
    return found
