"""What an ONNX file asks to be fed with."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from mobilevit_deploy.targets.onnx.files import load_onnx


@dataclass(frozen=True)
class OnnxInput:
    """One input; a size that the file leaves free is the name it has there, or ``?``."""

    name: str
    shape: tuple[int | str, ...]
    element_type: int  # of onnx.TensorProto

    @property
    def type_name(self) -> str:
        """Returns ONNX's own name, such as ``FLOAT``."""
        try:
            return str(onnx.TensorProto.DataType.Name(self.element_type))
        except ValueError:
            return f"type {self.element_type}"


def read_inputs(path: Path) -> tuple[OnnxInput, ...]:
    """Returns the inputs of a file, weights not among them.

    Raises:
        ArtifactError: the file is damaged, or asks for what no model needs (see ``targets/onnx/files``).
    """
    return tuple(_describe(item) for item in fed_inputs(load_onnx(path).graph))


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Returns the inputs that a caller feeds; old files list weights among them."""
    weights = {item.name for item in graph.initializer}
    return [item for item in graph.input if item.name not in weights]


def _describe(item: onnx.ValueInfoProto) -> OnnxInput:
    tensor = item.type.tensor_type
    sizes = [size.dim_value if size.HasField("dim_value") else size.dim_param or "?" for size in tensor.shape.dim]
    return OnnxInput(item.name, tuple(sizes), tensor.elem_type)


def takes_batch(path: Path, batch: int) -> bool:
    """Tells whether every input's first size is the batch, or free; raises ArtifactError."""
    first = [item.shape[0] if item.shape else 0 for item in read_inputs(path)]
    return all(size == batch or isinstance(size, str) for size in first)
