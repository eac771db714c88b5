"""Multiplications of convolutions and matrix products; nothing else counts, as in papers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import onnx

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
Attributes = Mapping[str, Any]


class Seen(Protocol):
    """What a run tells of a node."""

    @property
    def inputs(self) -> tuple[Shape | None, ...]: ...
    @property
    def output(self) -> Shape | None: ...


def _convolution(inputs: Shapes, output: Shape, _attributes: Attributes, weight: int = 1) -> int | None:
    """Weights are (O, C / groups, *kernel): each output value takes C / groups times the kernel's area."""
    kernel = inputs[weight]
    return None if kernel is None else math.prod(output) * math.prod(kernel[1:])


def _transposed_convolution(inputs: Shapes, _output: Shape, _attributes: Attributes) -> int | None:
    """Weights are (C, O / groups, *kernel): each input value goes into O / groups times the kernel's area."""
    image, kernel = inputs[:2]
    return None if image is None or kernel is None else math.prod(image) * math.prod(kernel[1:])


def _product(inputs: Shapes, output: Shape, attributes: Attributes) -> int | None:
    """Each output value takes the length of the left matrix's rows, or of its columns where it is transposed."""
    left = inputs[0]
    if left is None:
        return None
    axis = -2 if attributes.get("transA") and len(left) > 1 else -1
    return math.prod(output) * left[axis]


# Names of ONNX and of what ONNX Runtime makes of them.
RULES: Mapping[str, Callable[[Shapes, Shape, Attributes], int | None]] = {
    **dict.fromkeys(("Conv", "FusedConv", "ConvInteger", "NhwcFusedConv"), _convolution),
    "QLinearConv": lambda inputs, output, attributes: _convolution(inputs, output, attributes, weight=3),
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulInteger"), _product),
    **dict.fromkeys(("QLinearMatMul", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), _product),
}


def node_macs(op: str, inputs: Shapes, output: Shape | None, attributes: Attributes) -> int | None:
    """Returns the multiplications of one node, 0 for an op that does not count, None where a shape is unknown."""
    if op not in RULES:
        return 0
    return None if output is None else RULES[op](inputs, output, attributes)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Returns a node's attributes by name."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def graph_macs(model: onnx.ModelProto, seen: Mapping[str, Seen] | None = None) -> list[int | None]:
    """Returns the multiplications of every node of the main graph, None where its shapes are not known.

    Args:
        model: its shapes are inferred.
        seen: shapes by node name, from a run, for nodes where inference ends.
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError):  # a domain that the file does not import; 2 GB
        graph = model.graph
    shapes = {item.name: _shape(item.type.tensor_type) for item in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {item.name: tuple(item.dims) for item in graph.initializer}
    shapes |= {node.output[0]: _constant_shape(node) for node in graph.node if node.op_type == "Constant"}
    found = []
    for node in model.graph.node:
        inputs, output = [shapes.get(name) for name in node.input], shapes.get(node.output[0])
        macs = node_macs(node.op_type, inputs, output, attributes_of(node))
        if macs is None and seen and node.name in seen:
            macs = node_macs(node.op_type, seen[node.name].inputs, seen[node.name].output, attributes_of(node))
        found.append(macs)
    return found


def _shape(tensor: onnx.TypeProto.Tensor) -> Shape | None:
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _constant_shape(node: onnx.NodeProto) -> Shape | None:
    value = attributes_of(node).get("value")
    return tuple(value.dims) if isinstance(value, onnx.TensorProto) else None
