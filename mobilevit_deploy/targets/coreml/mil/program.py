"""An ML Program's functions and operations, decoded from protobuf."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.data_types import DATA_TYPES, STRING, AnyArray, DataType, unpack

LARGEST_TENSOR = 2**31  # bytes; more than a telephone has for one model

Constant = AnyArray | str | tuple[str, ...]

_BYTE_TYPES = {"fp16", "int8", "uint8", "uint32"}  # with the sub-byte types, what a literal keeps as raw bytes


@dataclass(frozen=True)
class TensorType:
    """Type of a tensor; ``shape`` has None for a size that is not fixed, and is None when the rank is not."""

    data_type: DataType
    shape: tuple[int | None, ...] | None

    def show_shape(self) -> str:
        """Returns the shape for a message, with a question mark for a size that is not fixed."""
        if self.shape is None:
            return "of any rank"
        return f"[{', '.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class StateType:
    """Type of a tensor that lives on from run to run."""

    wrapped: TensorType


@dataclass(frozen=True)
class OtherType:
    """A list, tuple or dictionary: the class labels and the probabilities by label."""


ValueType = TensorType | StateType | OtherType


@dataclass(frozen=True)
class Reference:
    """An argument that names an earlier result or an input of the function."""

    name: str


@dataclass(frozen=True)
class Literal:
    """An argument whose value stands in the program."""

    value: Constant


@dataclass(frozen=True)
class Blob:
    """An argument whose value stands in a weight file."""

    data_type: DataType
    shape: tuple[int, ...]
    file: str
    offset: int


Argument = Reference | Literal | Blob


@dataclass(frozen=True)
class NamedType:
    """A named value: an input of a function or an output of an operation."""

    name: str
    type: ValueType


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        type: MIL's name of the op.
        name: of this operation.
        inputs: the arguments of each parameter; more than one where the parameter takes a list.
        attributes: values that do not come from other operations, such as those of a ``const``.
        outputs: what it produces.
    """

    type: str
    name: str
    inputs: Mapping[str, tuple[Argument, ...]]
    attributes: Mapping[str, Literal | Blob]
    outputs: tuple[NamedType, ...]


@dataclass(frozen=True)
class Function:
    """A function: its inputs, its operations in order, and the names of its results."""

    name: str
    inputs: tuple[NamedType, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


def decode_function(program: Any, name: str) -> Function:
    """Decodes one function of a ``MILSpec.Program`` message.

    Raises:
        ArtifactError: the program has no such function, or a value in it is malformed.
    """
    if name not in program.functions:
        known = ", ".join(sorted(program.functions))
        raise ArtifactError(f"the model has no function {name!r}", f"it has: {known}")
    message = program.functions[name]
    if message.opset not in message.block_specializations:
        raise ArtifactError(f"function {name!r} has no body for its own opset {message.opset!r}")
    block = message.block_specializations[message.opset]
    return Function(
        name=name,
        inputs=_named_types(message.inputs),
        operations=tuple(map(_decode_operation, block.operations)),
        outputs=tuple(block.outputs),
    )


def _decode_operation(message: Any) -> Operation:
    attributes = {name: _decode_value(value) for name, value in message.attributes.items() if name != "name"}
    return Operation(
        type=message.type,
        name=_operation_name(message),
        inputs={name: tuple(map(_decode_binding, value.arguments)) for name, value in message.inputs.items()},
        attributes=attributes,
        outputs=_named_types(message.outputs),
    )


def _operation_name(message: Any) -> str:
    """Returns the name attribute, or the first output's name, which coremltools makes the same."""
    if "name" in message.attributes:
        names = message.attributes["name"].immediateValue.tensor.strings.values
        if names:
            return str(names[0])
    return str(message.outputs[0].name) if message.outputs else message.type


def _decode_binding(message: Any) -> Argument:
    if message.WhichOneof("binding") == "value":
        return _decode_value(message.value)
    return Reference(message.name)


def _named_types(messages: Any) -> tuple[NamedType, ...]:
    return tuple(NamedType(message.name, decode_type(message.type)) for message in messages)


def decode_type(message: Any) -> ValueType:
    """Decodes a ``ValueType`` message."""
    kind = message.WhichOneof("type")
    if kind == "stateType":
        wrapped = decode_type(message.stateType.wrappedType)
        if not isinstance(wrapped, TensorType):
            raise ArtifactError("a state of the model is not a tensor")
        return StateType(wrapped)
    if kind != "tensorType":
        return OtherType()
    tensor = message.tensorType
    if tensor.dataType not in DATA_TYPES:
        raise ArtifactError(f"the model uses data type {tensor.dataType} of MIL, which this runner does not know")
    data_type, shape = DATA_TYPES[tensor.dataType], _decode_shape(tensor.dimensions)
    if data_type.bits * math.prod(size or 1 for size in shape or ()) > 8 * LARGEST_TENSOR:
        sizes = "x".join(str(size or "?") for size in (shape or ())[:8])
        raise ArtifactError(
            f"the model declares a tensor of {sizes}, more than 2 GB", "the package is damaged, or hostile"
        )
    return TensorType(data_type, shape)


def _decode_shape(dimensions: Any) -> tuple[int | None, ...] | None:
    if any(dimension.unknown.variadic for dimension in dimensions):
        return None
    return tuple(d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in dimensions)


def _decode_value(message: Any) -> Literal | Blob:
    value_type = decode_type(message.type)
    if message.WhichOneof("value") == "blobFileValue":
        data_type, shape = _fixed(value_type)
        blob = message.blobFileValue
        return Blob(data_type, shape, blob.fileName, blob.offset)
    immediate = message.immediateValue
    if immediate.WhichOneof("value") == "list":
        return Literal(_decode_list(immediate.list))
    if immediate.WhichOneof("value") != "tensor":
        raise ArtifactError("a value in the program is neither a tensor nor a list")
    return Literal(_decode_tensor(immediate.tensor, value_type))


def _decode_list(message: Any) -> tuple[str, ...] | AnyArray:
    """Decodes the class labels: all strings, or all integers."""
    values = [_decode_tensor(item.immediateValue.tensor, decode_type(item.type)) for item in message.values]
    strings = tuple(value for value in values if isinstance(value, str))
    if len(strings) == len(values):
        return strings
    return np.array(values, np.int64)


def _decode_tensor(message: Any, value_type: ValueType) -> AnyArray | str | tuple[str, ...]:
    data_type, shape = _fixed(value_type)
    field = message.WhichOneof("value")
    values = getattr(message, field).values if field else ()
    if data_type is STRING:
        strings = tuple(map(str, values))
        return strings[0] if len(strings) == 1 and not shape else strings
    try:
        if data_type.bits < 8 or data_type.name in _BYTE_TYPES:
            array = unpack(bytes(values), data_type, math.prod(shape))
        else:
            array = np.array(values, data_type.numpy)
        return array.reshape(shape)
    except (ValueError, OverflowError, TypeError) as error:
        raise ArtifactError(f"a {data_type.name} {list(shape)} value in the program is malformed: {error}") from error


def _fixed(value_type: ValueType) -> tuple[DataType, tuple[int, ...]]:
    """Returns data type and shape of a constant's type."""
    if not isinstance(value_type, TensorType) or value_type.shape is None:
        raise ArtifactError("a constant in the program has no tensor type")
    shape = tuple(size for size in value_type.shape if size is not None)
    if len(shape) != len(value_type.shape):
        raise ArtifactError("a constant in the program has no fixed shape")
    return value_type.data_type, shape
