"""A file as it is profiled: whole, every node with a name of its own, and with inputs for it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.targets.onnx.files import load_onnx
from mobilevit_deploy.targets.onnx.inputs import fed_inputs

NUMBERS = ("FLOAT", "FLOAT16", "DOUBLE")
INTEGERS = ("INT64", "INT32", "INT8", "UINT8", "BOOL")


def read_model(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file with its external weights; names are given to nodes that have none or another's.

    Raises:
        MeasurementError: the file is missing or of another format.
        ArtifactError: it is damaged, or asks for what no model needs (see ``targets/onnx/files``).
    """
    if path.suffix == ".mlpackage":
        raise MeasurementError(
            f"{path} is a Core ML package, and profiling one needs a device, which is not there yet",
            "profile the .onnx file of the same export; mvd inspect shows a package's operations",
        )
    if not path.is_file() or path.suffix != ".onnx":
        reason = "is no .onnx file" if path.exists() else "does not exist"
        raise MeasurementError(f"{path} {reason}", "mvd export MODEL --to onnx makes one")
    model = load_onnx(path, weights=True)
    if not model.graph.node:
        raise MeasurementError(f"{path} has no nodes", "is it complete?")
    names: set[str] = {node.name for node in all_nodes(model.graph)}
    seen: set[str] = set()
    for i, node in enumerate(all_nodes(model.graph)):
        if not node.name or node.name in seen:
            node.name = _free_name(f"{node.name or node.op_type}_{i}", names)
            names.add(node.name)
        seen.add(node.name)
    return model


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of a graph, then those of the branches and loop bodies in it."""
    yield from graph.node
    yield from nested_nodes(graph)


def nested_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of branches and loop bodies."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from all_nodes(inner)


def fix_batch(model: onnx.ModelProto, path: Path) -> None:
    """Makes a free first dimension of every input 1, in place, so that shapes can be inferred.

    Raises:
        MeasurementError: another dimension is free.
    """
    for item in fed_inputs(model.graph):
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            if dim.HasField("dim_value"):
                continue
            if axis:
                raise MeasurementError(
                    f"{path.name}: dimension {axis} of the input {item.name} is not fixed ({dim.dim_param or '?'})",
                    "export it with a fixed size; only the batch may be free, and is then 1",
                )
            dim.dim_value = 1
            del model.graph.value_info[:]  # shapes with the batch free, which inference would keep


def random_inputs(model: onnx.ModelProto, path: Path) -> dict[str, NDArray[np.generic]]:
    """Returns an array for each input of a model whose sizes are fixed: noise, or zeros for integers.

    Raises:
        MeasurementError: an input is of a type for which there are no values.
    """
    generator = np.random.default_rng(0)
    arrays: dict[str, NDArray[np.generic]] = {}
    for item in fed_inputs(model.graph):
        number = item.type.tensor_type.elem_type
        kind = onnx.TensorProto.DataType.Name(number) if item.type.HasField("tensor_type") else "no tensor"
        shape = tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
        if kind not in NUMBERS + INTEGERS:
            raise MeasurementError(f"{path.name}: its input {item.name} is {kind}, for which there are no test values")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(number)
        arrays[item.name] = (
            generator.standard_normal(shape).astype(dtype) if kind in NUMBERS else np.zeros(shape, dtype)
        )
    return arrays
