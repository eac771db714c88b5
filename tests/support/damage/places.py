"""Where the tensors of a saved file stand: found by the formats' own libraries, or by the weights' bytes."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.targets.coreml.mil.specification import parse_model
from tests.support.damage.kinds import AnyArray

PACKAGE = "Data/com.apple.CoreML"
BLOB = {1: "f2", 2: "f4", 3: "u1", 4: "i1", 6: "i2", 7: "u2", 14: "i4"}  # of a weight file; what is packed is bytes


@dataclass(frozen=True)
class Place:
    """A tensor's bytes: in which file of an artifact, from where on, and what they are.

    ``name`` is that of the artifact, empty where the format keeps none; ``module`` is the owner, where it is known.
    """

    name: str
    file: str
    start: int
    values: AnyArray
    module: str | None = None


def find_onnx(path: Path) -> Iterator[Place]:
    content = path.read_bytes()
    for tensor in onnx.load(path).graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if content.count(tensor.raw_data) == 1:  # a zero point is anywhere
            yield Place(tensor.name, "", content.index(tensor.raw_data), values)


def find_coreml(path: Path) -> Iterator[Place]:
    content = (path / PACKAGE / "weights/weight.bin").read_bytes()
    model = parse_model((path / PACKAGE / "model.mlmodel").read_bytes())
    for function in model.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for operation in block.operations:
                for value in _values(operation):
                    if not value.HasField("blobFileValue"):
                        continue
                    _, kind, size, start, _ = struct.unpack_from("<IIQQQ", content, value.blobFileValue.offset)
                    dtype = np.dtype(BLOB.get(kind, "u1"))
                    values = np.frombuffer(content, dtype, size // dtype.itemsize, start)
                    shape = [dimension.constant.size for dimension in value.type.tensorType.dimensions]
                    values = values.reshape(shape) if values.size == np.prod(shape) else values
                    yield Place(operation.outputs[0].name, f"{PACKAGE}/weights/weight.bin", start, values)


def _values(operation: Any) -> Iterator[Any]:
    yield from operation.attributes.values()
    for argument in operation.inputs.values():
        yield from (binding.value for binding in argument.arguments if binding.HasField("value"))


def find_executorch(path: Path) -> Iterator[Place]:
    """The weights of XNNPACK's nodes, which have no names: rows of eight for channels, and bytes for int8."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    content = path.read_bytes()
    stored = deserialize_pte_binary(content).named_data
    assert stored is not None
    for key, entry in stored.pte_data.items():
        numbers = bytes(stored.buffers[entry.buffer_index])
        if content.count(numbers) == 1:
            values = np.frombuffer(numbers, "u1" if "int8" in path.name and "scale" not in key else "f4")
            yield Place("", "", content.index(numbers), values.reshape(8, -1) if values.size % 8 == 0 else values)


def find_coreai(path: Path) -> Iterator[Place]:
    """The weights of the small network, by their bytes: Apple's packages do not say where those lie."""
    content = (path / "main.mlirb").read_bytes()
    dtype = np.float16 if "fp16" in path.name else np.float32
    build = "build_narrow" if "narrow" in path.name else "build"
    weights = load_model(ModelRequest(f"tests.research.small_net:{build}", size=(32, 32))).module.state_dict()
    for name, value in weights.items():
        numbers = value.numpy().astype(dtype)
        if content.count(numbers.tobytes()) == 1:
            yield Place("", "main.mlirb", content.index(numbers.tobytes()), numbers, name.rpartition(".")[0])


FIND: dict[str, Callable[[Path], Iterator[Place]]] = {
    ".onnx": find_onnx,
    ".mlpackage": find_coreml,
    ".pte": find_executorch,
    ".aimodel": find_coreai,
}
