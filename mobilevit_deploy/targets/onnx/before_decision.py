"""An ONNX file with the numbers that its decisions are made of in the place of its outputs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import onnx
from onnx import TensorProto

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.onnx.exact import Change
from mobilevit_deploy.targets.onnx.files import COPY_AGAIN, first_line, load_onnx

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
Shape = tuple[int, ...]


def change_to(shapes: Sequence[Shape]) -> Change:
    """Returns how to read a file whose outputs are, for each shape, the last number of that shape that it computes.

    A decision leaves nothing of the shape of what it is made of: of logits (B, classes, H, W) a label map (B, H, W), of
    boxes (1, N, 4) and scores (1, N, classes) the few that are left.
    """
    return partial(_read, tuple(shapes))


def _read(shapes: tuple[Shape, ...], path: Path) -> bytes:
    if len(set(shapes)) < len(shapes):
        raise ArtifactError(f"two of the values that {path.name} decides by have one shape, and are not told apart")
    model = load_onnx(path, weights=True)
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:  # it raises many kinds for a damaged file
        raise ArtifactError(f"{path.name} is damaged: {first_line(error)}", COPY_AGAIN) from error
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    last: dict[Shape, onnx.ValueInfoProto] = {}
    for name in (name for node in graph.node for name in node.output if name in known):
        tensor = known[name].type.tensor_type
        if tensor.elem_type in FLOATS:
            last[tuple(dim.dim_value for dim in tensor.shape.dim)] = known[name]
    if missing := [shape for shape in shapes if shape not in last]:
        raise ArtifactError(f"{path.name} computes nothing of the shape {list(missing[0])}, by which it would decide")
    del model.graph.output[:]
    model.graph.output.extend(last[shape] for shape in shapes)
    content: bytes = model.SerializeToString()
    return content
