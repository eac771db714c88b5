"""A package in memory, open for damage: its operations as protobuf messages, its constants as arrays."""

import math
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.targets.coreml.mil.data_types import DATA_TYPES, AnyArray
from mobilevit_deploy.targets.coreml.mil.specification import parse_model

_MODEL = "Data/com.apple.CoreML/model.mlmodel"
_WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
_FIELDS = {10: "bytes", 11: "floats", 23: "ints", 1: "bools"}  # where a literal keeps its numbers, by data type


@dataclass(frozen=True)
class Constant:
    """A ``const`` operation that one parameter of one operation reads."""

    message: Any
    weights: bytearray

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(dimension.constant.size for dimension in self._type.dimensions)

    @property
    def is_float(self) -> bool:
        return self._type.dataType in DATA_TYPES and DATA_TYPES[self._type.dataType].is_float

    @property
    def is_stored(self) -> bool:
        """Tells whether the value stands in the weight file, and not in the program."""
        return bool(self._value.WhichOneof("value") == "blobFileValue")

    @property
    def text(self) -> str:
        return str(self._literal.strings.values[0])

    def set_text(self, text: str) -> None:
        self._literal.strings.values[0] = text

    def read(self) -> AnyArray:
        """Returns a copy of the numbers, in the shape that the program declares."""
        if self.is_stored:
            return self._view().copy()
        data_type = DATA_TYPES[self._type.dataType]
        field = _FIELDS[self._type.dataType]
        values = getattr(self._literal, field).values
        array = np.frombuffer(values, data_type.numpy) if field == "bytes" else np.array(values, data_type.numpy)
        return array.reshape(self.shape).copy()

    def write(self, array: AnyArray) -> None:
        """Replaces the numbers; the shape stays as it is declared."""
        data_type, field = DATA_TYPES[self._type.dataType], _FIELDS.get(self._type.dataType)
        array = array.astype(data_type.numpy).reshape(self.shape)
        if self.is_stored:
            self._view()[...] = array
        elif field == "bytes":
            self._literal.bytes.values = array.tobytes()
        else:
            getattr(self._literal, str(field)).values[:] = array.ravel().tolist()

    @property
    def _value(self) -> Any:
        return self.message.attributes["val"]

    @property
    def _type(self) -> Any:
        return self._value.type.tensorType

    @property
    def _literal(self) -> Any:
        return self._value.immediateValue.tensor

    def _view(self) -> AnyArray:
        (start,) = struct.unpack_from("<Q", self.weights, self._value.blobFileValue.offset + 16)
        count = math.prod(self.shape)
        return np.frombuffer(self.weights, DATA_TYPES[self._type.dataType].numpy, count, start).reshape(self.shape)


class Program:
    """The operations of a package's one function, with constants that may be changed in place."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._model = parse_model((package / _MODEL).read_bytes())
        self._weights = bytearray((package / _WEIGHTS).read_bytes())
        (function,) = self._model.mlProgram.functions.values()
        self._block = function.block_specializations[function.opset]
        self._constants = {op.outputs[0].name: op for op in self._block.operations if op.type == "const"}
        self._reads = Counter(name for op in self._block.operations for name in _sources(op))
        self._types = {named.name: named.type for named in function.inputs}
        self._types |= {named.name: named.type for op in self._block.operations for named in op.outputs}

    def operations(self, *types: str) -> Iterator[tuple[str, Any]]:
        """Yields the operations of these types, all but constants if none is given, each with its place.

        The place is the type and the number among the operations of that type: the same in the float32 and the
        half-precision package of one graph, whose names differ.
        """
        seen: Counter[str] = Counter()
        for op in self._block.operations:
            seen[op.type] += 1
            if op.type in types or (not types and op.type != "const"):
                yield f"{op.type} {seen[op.type]}", op

    def constant(self, operation: Any, parameter: str) -> Constant | None:
        """Returns the constant that a parameter reads; None where it reads none, or one that others read as well."""
        arguments = operation.inputs[parameter].arguments if parameter in operation.inputs else []
        if len(arguments) != 1 or arguments[0].name not in self._constants or self._reads[arguments[0].name] > 1:
            return None
        return Constant(self._constants[arguments[0].name], self._weights)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the declared shape of a value."""
        return tuple(dimension.constant.size for dimension in self._types[name].tensorType.dimensions)

    def same_type(self, one: str, other: str) -> bool:
        """Tells whether two values have the same declared type."""
        return bool(self._types[one] == self._types[other])

    def is_constant(self, name: str) -> bool:
        return name in self._constants

    def save(self, package: Path) -> Path:
        """Writes the package as it is now into a new folder, and returns that."""
        shutil.copytree(self._package, package)
        (package / _MODEL).write_bytes(self._model.SerializeToString(deterministic=True))
        (package / _WEIGHTS).write_bytes(self._weights)
        return package

    def content(self) -> tuple[bytes, bytes]:
        """Returns all that ``save`` writes, to tell whether anything was changed."""
        return self._model.SerializeToString(deterministic=True), bytes(self._weights)


def _sources(operation: Any) -> list[str]:
    return [argument.name for value in operation.inputs.values() for argument in value.arguments if argument.name]


def source(operation: Any, parameter: str) -> str:
    """Returns the name of the one value that a parameter reads; empty where there is none."""
    arguments = operation.inputs[parameter].arguments if parameter in operation.inputs else []
    return str(arguments[0].name) if len(arguments) == 1 else ""
