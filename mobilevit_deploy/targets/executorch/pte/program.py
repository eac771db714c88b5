"""What a ``.pte`` file holds: methods with their values, calls and delegates.

The numbers of fields are those of ExecuTorch's ``schema/program.fbs``. Behind the FlatBuffer lie segments, with the
weights and what the delegates take; an extended header says where.
Source: https://docs.pytorch.org/executorch/stable/pte-file-format.html
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets import flatbuffer
from mobilevit_deploy.targets.flatbuffer import COPY_AGAIN, LARGEST_TENSOR, DamagedError, Table, check_size, pick

IDENTIFIERS = (b"ET12", b"ET13")
EXTENDED = b"eh00"

TYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
WIDTHS = {"uint8": 1, "int8": 1, "int16": 2, "float16": 2, "int32": 4, "float32": 4, "bool": 1}
TENSOR, TEXT = 5, 6  # kinds of a value
KERNEL_CALL, DELEGATE_CALL = 1, 2  # kinds of an instruction


@dataclass(frozen=True)
class Value:
    """One value of a method: a tensor with its shape, a text, or something else.

    ``constant`` is the number of what it holds among the file's constants; 0 for what is computed.
    """

    shape: tuple[int, ...] | None = None
    dtype: str = ""
    text: str | None = None
    constant: int = 0


@dataclass(frozen=True)
class Delegate:
    """A part of the graph that a backend runs, as it was prepared for it."""

    backend: str
    content: bytes


@dataclass(frozen=True)
class Call:
    """One instruction: a kernel by its name, or a delegate; ``values`` are its arguments, the results last."""

    kernel: str
    delegate: Delegate | None
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Plan:
    """One method: inputs, outputs and calls in order."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    calls: tuple[Call, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Program:
    """A whole file.

    Attributes:
        plans: methods.
        segments: what lies behind the FlatBuffer: weights, and what delegates were given.
        constants: what kernels read, by number, with what lies between them; the first is empty.
        constants_segment: of which segment these are the parts; None where there are none.
        named: the segments that delegates read besides what they were given, by name.
    """

    plans: tuple[Plan, ...]
    segments: tuple[bytes, ...]
    constants: tuple[bytes, ...]
    constants_segment: int | None
    named: Mapping[str, int]

    def plan(self, name: str) -> Plan | None:
        """Returns a method, if there is one of that name."""
        return next((plan for plan in self.plans if plan.name == name), None)


def read_program(path: Path) -> Program:
    """Reads a file; raises ArtifactError as ``read_file`` does, and where it is damaged."""
    return parse_program(read_file(path), path.name)


def parse_program(content: bytes, name: str) -> Program:
    """Returns the program that a file's bytes are; raises ArtifactError, with the file's name."""
    try:
        return _Reader(content).program()
    except (DamagedError, struct.error, IndexError) as error:
        raise ArtifactError(f"{name} is damaged: {error}", COPY_AGAIN) from error


def read_file(path: Path) -> bytes:
    """Returns a file's bytes.

    Raises:
        ArtifactError: it is missing, no ``.pte`` file, or larger than a model for a telephone.
    """
    return flatbuffer.read_file(path, IDENTIFIERS, "ExecuTorch program")


class _Reader:
    """The bytes of a file, and where its segments lie."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        size, self._base = len(content), len(content)
        if content[8:12] == EXTENDED:
            size, self._base = struct.unpack_from("<QQ", content, 16)
            if not size <= self._base <= len(content) and self._base:
                raise DamagedError("it is cut off, or its header is wrong")
        self._root = Table.root(content[:size])
        self._segments = [(item.whole(0, "Q"), item.whole(1, "Q")) for item in self._root.tables(4)]
        for offset, length in self._segments:
            if self._base + offset + length > len(content):
                raise DamagedError("it is cut off: its weights lie beyond its end")
        if sum(length for _, length in self._segments) > len(content):
            raise DamagedError("its weights lie in one another")
        self._inline = [item.content(0) for item in self._root.tables(3)]

    def program(self) -> Program:
        named = {item.text(0): item.whole(1, "I") for item in self._root.tables(7)}
        pick(self._segments, list(named.values()))
        part = self._root.table(5)
        number = None if part is None else part.whole(0, "I")
        return Program(
            tuple(self._plan(item) for item in self._root.tables(1)),
            tuple(map(self._segment, range(len(self._segments)))),
            () if part is None or number is None else self._parts(number, part.numbers(1, "Q")),
            number,
            named,
        )

    def _segment(self, number: int) -> bytes:
        offset, length = pick(self._segments, [number])[0]
        return self._content[self._base + offset : self._base + offset + length]

    def _parts(self, number: int, offsets: Sequence[int]) -> tuple[bytes, ...]:
        """Returns the parts of a segment, each from its offset to the next one's."""
        if not offsets:
            return ()
        content = self._segment(number)
        if list(offsets) != sorted(offsets):
            raise DamagedError("its constants lie in no order")
        return tuple(content[start:end] for start, end in zip(offsets, [*offsets[1:], len(content)], strict=True))

    def _plan(self, plan: Table) -> Plan:
        if any(not 0 <= size <= LARGEST_TENSOR for size in plan.numbers(8, "q")):
            raise DamagedError("it asks for a buffer of more than 2 GB")
        values = [_value(item) for item in plan.tables(2)]
        delegates = [self._delegate(item) for item in plan.tables(7)]
        operators = [".".join(filter(None, (item.text(0), item.text(1)))) for item in plan.tables(6)]

        def call(instruction: Table) -> Call | None:
            kind = instruction.whole(0, "B")
            if kind not in (KERNEL_CALL, DELEGATE_CALL):
                return None
            part = instruction.required(1)
            chosen = pick(values, part.numbers(1))
            number = [part.whole(0)]
            if kind == DELEGATE_CALL:
                return Call("", pick(delegates, number)[0], chosen)
            return Call(pick(operators, number)[0], None, chosen)

        calls = [call(item) for chain in plan.tables(5) for item in chain.tables(2)]
        return Plan(
            plan.text(0),
            pick(values, plan.numbers(3)),
            pick(values, plan.numbers(4)),
            tuple(item for item in calls if item is not None),
            tuple(values),
        )

    def _delegate(self, delegate: Table) -> Delegate:
        reference = delegate.required(1)
        in_segment, index = reference.whole(0, "b"), reference.whole(1, "I")
        if not in_segment:
            return Delegate(delegate.text(0), pick(self._inline, [index])[0])
        return Delegate(delegate.text(0), self._segment(index))


def _value(item: Table) -> Value:
    kind = item.whole(0, "B")
    if kind == TEXT:
        return Value(text=item.required(1).text(0))
    if kind != TENSOR:
        return Value()
    tensor = item.required(1)
    shape, dtype = tuple(tensor.numbers(2)), TYPES.get(tensor.whole(0, "b"), "unknown")
    check_size(shape, WIDTHS.get(dtype, 8))
    return Value(shape, dtype, constant=tensor.whole(5, "I") if tensor.place(6) is None else 0)
