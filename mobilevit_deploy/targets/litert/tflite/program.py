"""What a ``.tflite`` file holds: subgraphs with their tensors and operators, signatures, metadata and buffers.

The numbers of fields are those of LiteRT's ``schema.fbs``. Weights lie in buffers inside of the FlatBuffer or, in
files above 2 GB, behind it, and tensors refer to buffers by number.
Source: https://github.com/google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets import flatbuffer
from mobilevit_deploy.targets.flatbuffer import COPY_AGAIN, DamagedError, Table, check_size, pick
from mobilevit_deploy.targets.litert.tflite.operators import CUSTOM, builtin_name

IDENTIFIER = b"TFL3"
OPERATOR_CODES, SUBGRAPHS, BUFFERS, METADATA, SIGNATURES = 1, 2, 4, 6, 7  # fields of the model
NO_DATA = 1  # a buffer's own offset counts from 2 on
ABSENT = -1  # in the place of an input that an operator does without
COMPOSITE = "STABLEHLO_COMPOSITE"

# In the order of the schema's TensorType, with the bits of one value; None where values have no fixed size.
TYPES: tuple[tuple[str, int | None], ...] = (
    ("float32", 32), ("float16", 16), ("int32", 32), ("uint8", 8), ("int64", 64), ("string", None), ("bool", 8),
    ("int16", 16), ("complex64", 64), ("int8", 8), ("float64", 64), ("complex128", 128), ("uint64", 64),
    ("resource", None), ("variant", None), ("uint32", 32), ("uint16", 16), ("int4", 4), ("bfloat16", 16), ("int2", 2),
    ("uint4", 4), ("float8_e4m3fn", 8), ("float8_e5m2", 8),
)  # fmt: skip


@dataclass(frozen=True)
class Quantization:
    """How whole numbers stand for real ones: ``scale * (value - zero_point)``.

    Attributes:
        scales: one for the tensor, or one for each place on ``axis``.
        zero_points: as many.
        axis: along which they differ.
        other: whether the file has a scheme of another kind in their place, by blocks or of its maker's own.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    other: bool = False


@dataclass(frozen=True)
class Value:
    """One tensor of a subgraph.

    Attributes:
        name: by which the converter knew it.
        shape: of the file; where it may change, of the call it was made for.
        free: the axes that may change.
        dtype: by NumPy's name where that has it.
        buffer: the number of what it holds; 0 for what is computed.
        quantization: of whole numbers that stand for real ones.
        variable: whether it keeps its value from one run to the next.
    """

    name: str
    shape: tuple[int, ...]
    free: tuple[int, ...]
    dtype: str
    buffer: int
    quantization: Quantization | None = None
    variable: bool = False


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        kind: the schema's name, such as ``CONV_2D``.
        version: of its kind.
        name: of a custom operator or a composite; empty for others.
        inputs: tensors by number, ``ABSENT`` for one that is not given.
        outputs: tensors by number.
    """

    kind: str
    version: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Subgraph:
    """One graph; the first is what the file computes, unless a signature names another."""

    name: str
    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Signature:
    """A name by which an app calls a subgraph; inputs and outputs are tensors by their names for the app."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class Program:
    """A whole file.

    Attributes:
        description: what its converter says of itself.
        subgraphs: at least one.
        signatures: in the order of the file.
        metadata: the number of a buffer by name.
        buffers: where each begins and ends in ``content``; the first is empty.
        content: the file.
    """

    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, int]
    buffers: tuple[tuple[int, int], ...]
    content: bytes

    def data(self, buffer: int) -> memoryview:
        """Returns what a buffer holds, without a copy."""
        start, end = self.buffers[buffer]
        return memoryview(self.content)[start:end]

    def metadata_text(self, name: str, longest: int) -> str | None:
        """Returns an entry of the metadata; None where there is none, a longer one, or one that is no text."""
        if name not in self.metadata or len(self.data(self.metadata[name])) > longest:
            return None
        try:
            return bytes(self.data(self.metadata[name])).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return None


def read_program(path: Path) -> Program:
    """Reads a file.

    Raises:
        ArtifactError: it is missing, damaged, no ``.tflite`` file, larger than a model for a telephone, or has its
            weights elsewhere.
    """
    return parse_program(flatbuffer.read_file(path, [IDENTIFIER], "TensorFlow Lite model"), path.name)


def parse_program(content: bytes, name: str) -> Program:
    """Returns the program that a file's bytes are; raises ArtifactError, with the file's name."""
    try:
        return _Reader(content, name).program()
    except (DamagedError, struct.error) as error:
        raise ArtifactError(f"{name} is damaged: {error}", COPY_AGAIN) from error


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self._content, self._name = content, name
        self._root = Table.root(content)
        self._codes = [_code(item) for item in self._root.tables(OPERATOR_CODES)]
        self._buffers = [buffer_range(item) for item in self._root.tables(BUFFERS)]

    def program(self) -> Program:
        subgraphs = tuple(self._subgraph(item) for item in self._root.tables(SUBGRAPHS))
        if not subgraphs:
            raise DamagedError("it has no graph")
        metadata = {item.text(0): item.whole(1, "I") for item in self._root.tables(METADATA)}
        pick(self._buffers, list(metadata.values()))
        return Program(
            self._root.text(3),
            subgraphs,
            tuple(_signature(item, subgraphs) for item in self._root.tables(SIGNATURES)),
            metadata,
            tuple(self._buffers),
            self._content,
        )

    def _subgraph(self, graph: Table) -> Subgraph:
        values = tuple(self._value(item) for item in graph.tables(0))
        inputs, outputs = tuple(graph.numbers(1)), tuple(graph.numbers(2))
        pick(values, [*inputs, *outputs])
        return Subgraph(
            graph.text(4), values, inputs, outputs, tuple(self._operator(item, values) for item in graph.tables(3))
        )

    def _operator(self, item: Table, values: Sequence[Value]) -> Operator:
        ((kind, name, version),) = pick(self._codes, [item.whole(0, "I")])
        inputs, outputs = tuple(item.numbers(1)), tuple(item.numbers(2))
        pick(values, [number for number in inputs if number != ABSENT])
        pick(values, outputs)
        options = item.table(11) if kind == COMPOSITE else None
        return Operator(kind, version, name if options is None else options.text(0), inputs, outputs)

    def _value(self, item: Table) -> Value:
        number, buffer = item.whole(1, "b"), item.whole(2, "I")
        dtype, bits = TYPES[number] if 0 <= number < len(TYPES) else ("unknown", None)
        shape = tuple(item.numbers(0))
        check_size(shape, (bits or 8) / 8)
        ((start, end),) = pick(self._buffers, [buffer])
        sparse = item.place(6) is not None
        if start != end and bits is not None and not sparse and end - start != math.ceil(math.prod(shape) * bits / 8):
            raise DamagedError("a tensor has more values, or fewer, than its shape")
        if item.whole(10, "I"):
            raise ArtifactError(
                f"{self._name} keeps its weights in another file, which mvd does not read", "convert it with them"
            )
        free = tuple(axis for axis, size in enumerate(item.numbers(7)) if size == ABSENT)
        quantization = _quantization(item.table(4))
        return Value(item.text(3), shape, free, dtype, buffer, quantization, bool(item.whole(5, "B")))


def buffer_range(item: Table) -> tuple[int, int]:
    """Returns where what a buffer holds begins and ends in the file."""
    start, size = item.whole(1, "Q"), item.whole(2, "Q")
    if start <= NO_DATA:
        return item.range(0)
    item.data.check_range(start, size)
    item.data.spend_bytes(size)
    return start, start + size


def _code(item: Table) -> tuple[str, str, int]:
    """Returns an operator's kind, its name for a custom one, and its version."""
    # The newer field is wider: files for older runtimes have the code in the other one, or in both.
    code = max(item.whole(0, "b"), item.whole(3))
    return builtin_name(code), item.text(1) if code == CUSTOM else "", item.whole(2, default=1)


def _quantization(item: Table | None) -> Quantization | None:
    if item is None:
        return None
    scales, points = tuple(item.reals(2)), tuple(item.numbers(3, "q"))
    other = bool(item.whole(4, "B"))
    if not scales and not other:
        return None
    return Quantization(scales, points, item.whole(6), other)


def _signature(item: Table, subgraphs: Sequence[Subgraph]) -> Signature:
    number = item.whole(4, "I")
    (graph,) = pick(subgraphs, [number])
    inputs, outputs = ({part.text(0): part.whole(1, "I") for part in item.tables(field)} for field in (0, 1))
    pick(graph.values, [*inputs.values(), *outputs.values()])
    return Signature(item.text(2), number, inputs, outputs)
