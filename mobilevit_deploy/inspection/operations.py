"""Graphs of three formats as one list of operations, which the rules read.

ATen calls of a captured graph, nodes of an ONNX file, operations of an ML Program: each becomes an ``Operation``
with its kind in the format's own spelling, its place, and the shapes and types of what goes in and out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import MvdError

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Tensor:
    """Shape and element type; a dimension that is not fixed is a text."""

    shape: Shape
    dtype: str

    @property
    def elements(self) -> int:
        """Returns the number of elements, a free dimension counted as 1."""
        return math.prod(size if isinstance(size, int) else 1 for size in self.shape)


@dataclass(frozen=True)
class Operation:
    """One operation.

    ``at`` is the module path where the format keeps it, else the operation's own name; ``last`` says that
    its result leaves the graph.
    """

    kind: str
    at: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    last: bool = False


def from_graph(graph: Any) -> list[Operation]:
    """Returns the ATen calls of a ``mobilevit_deploy.graph.Graph``."""
    from torch.utils import _pytree as pytree

    from mobilevit_deploy.graph import module_path, op_name

    def tensors(value: object) -> tuple[Tensor, ...]:
        leaves = pytree.tree_leaves(value)
        return tuple(
            Tensor(tuple(leaf.shape), str(leaf.dtype).removeprefix("torch."))
            for leaf in leaves
            if hasattr(leaf, "dtype")
        )

    return [
        Operation(
            op_name(node),
            module_path(node) or node.name,
            tensors([item.meta.get("val") for item in node.all_input_nodes]),
            tensors(node.meta.get("val")),
            any(reader.op == "output" for reader in node.users),
        )
        for node in graph.nodes
        if op_name(node)
    ]


def from_onnx(path: Path) -> list[Operation]:
    """Returns the nodes of an ONNX file; external weights are not opened. Raises MvdError for a damaged file."""
    import onnx

    from mobilevit_deploy.module_paths import read_path
    from mobilevit_deploy.onnx_files import COPY_AGAIN, first_line, load_onnx

    model = load_onnx(path)
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:  # it raises many kinds for a damaged file
        raise MvdError(f"{path.name} is damaged: {first_line(error)}", COPY_AGAIN) from error
    values = (*graph.value_info, *graph.input, *graph.output)
    known = {value.name: _onnx_tensor(value.type.tensor_type) for value in values}
    ends = {value.name for value in graph.output}
    known |= {item.name: Tensor(tuple(item.dims), _onnx_dtype(item.data_type)) for item in graph.initializer}
    return [
        Operation(
            node.op_type,
            read_path(node) or node.name or node.output[0],
            tuple(known[name] for name in node.input if name in known),
            tuple(known[name] for name in node.output if name in known),
            bool(ends & set(node.output)),
        )
        for node in graph.node
    ]


def _onnx_tensor(tensor: Any) -> Tensor:
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return Tensor(shape, _onnx_dtype(tensor.elem_type))


def _onnx_dtype(number: int) -> str:
    import onnx

    name: str = onnx.TensorProto.DataType.Name(number)
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())


def from_coreml(path: Path) -> list[Operation]:
    """Returns the operations of an .mlpackage, constants left out.

    Raises:
        ArtifactError: the folder is damaged, or its model is not an ML Program.
    """
    from mobilevit_deploy.mil.package import Package

    return [
        operation
        for function in Package(path).model.mlProgram.functions.values()
        for block in function.block_specializations.values()
        for operation in _mil_operations(function, block)
    ]


def _mil_operations(function: Any, block: Any) -> Iterator[Operation]:
    known = {item.name: _mil_tensor(item.type) for item in function.inputs}
    for operation in block.operations:
        outputs = [_mil_tensor(item.type) for item in operation.outputs]
        known |= {item.name: tensor for item, tensor in zip(operation.outputs, outputs, strict=True)}
        if operation.type == "const" or operation.type.startswith("constexpr_"):
            continue
        names = [binding.name for argument in operation.inputs.values() for binding in argument.arguments]
        yield Operation(
            operation.type,
            operation.outputs[0].name if operation.outputs else operation.type,
            tuple(known[name] for name in names if name in known),
            tuple(outputs),
            any(item.name in block.outputs for item in operation.outputs),
        )


def _mil_tensor(value_type: Any) -> Tensor:
    tensor = value_type.tensorType
    shape = tuple(int(dim.constant.size) if dim.HasField("constant") else "?" for dim in tensor.dimensions)
    return Tensor(
        shape,
        type(tensor).DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number[tensor.dataType].name.lower(),
    )
