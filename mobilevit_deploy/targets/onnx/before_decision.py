"""An ONNX file with the numbers that its decisions are made of in the place of its outputs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.before_decision import Shape, find_numbers
from mobilevit_deploy.targets.onnx.exact import Change
from mobilevit_deploy.targets.onnx.files import COPY_AGAIN, first_line, load_onnx

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def change_to(shapes: Sequence[Shape]) -> Change:
    """Returns how to read a file whose outputs are, for each shape, the numbers of that shape that it decides by.

    Args:
        shapes: of logits; or of boxes and scores, which a ``NonMaxSuppression`` reads in this order.
    """
    return partial(_read, tuple(shapes))


def _read(shapes: tuple[Shape, ...], path: Path) -> bytes:
    model = load_onnx(path, weights=True)
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:  # it raises many kinds for a damaged file
        raise ArtifactError(f"{path.name} is damaged: {first_line(error)}", COPY_AGAIN) from error
    values = {value.name: value for value in (*graph.value_info, *graph.output)}
    known = {name: shape for name, value in values.items() if (shape := _shape(value)) is not None}
    made_of = {name: tuple(node.input) for node in graph.node for name in node.output if name}
    found = find_numbers(_ends(graph), shapes, made_of, known)
    if None in found:
        missing = shapes[found.index(None)]
        raise ArtifactError(f"{path.name} computes nothing of the shape {list(missing)}, by which it would decide")
    del model.graph.output[:]
    model.graph.output.extend(values[str(name)] for name in found)
    content: bytes = model.SerializeToString()
    return content


def _shape(value: Any) -> Shape | None:
    tensor = value.type.tensor_type
    return tuple(dim.dim_value for dim in tensor.shape.dim) if tensor.elem_type in FLOATS else None


def _ends(graph: Any) -> list[str]:
    """Returns what a suppression reads, boxes and scores; the first output of a file without one."""
    suppressions = [node for node in graph.node if node.op_type == "NonMaxSuppression"]
    return list(suppressions[-1].input[:2]) if suppressions else [item.name for item in graph.output[:1]]
