"""What a ``.pte`` file holds: methods with their values, calls and delegates.

The numbers of fields are those of ExecuTorch's ``schema/program.fbs``. Behind the FlatBuffer lie segments, with the
weights and what the delegates take; an extended header says where.
Source: https://docs.pytorch.org/executorch/stable/pte-file-format.html
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.executorch.pte.flatbuffer import DamagedError, Table

Item = TypeVar("Item")

COPY_AGAIN = "export or copy the file again"
DAMAGE = "it is damaged, or was made to do harm: do not use it"
LARGEST_FILE = 2**32  # bytes; the largest of the families here has 350 MB
LARGEST_TENSOR = 2**31  # bytes, of one value or one buffer
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
    if not path.is_file():  # a pipe would be waited for
        raise ArtifactError(f"{path} is no file", COPY_AGAIN)
    if path.stat().st_size > LARGEST_FILE:
        raise ArtifactError(f"{path.name} has more than 4 GB, which is no model for a telephone", DAMAGE)
    content = path.read_bytes()
    if content[4:8] not in IDENTIFIERS:
        raise ArtifactError(f"{path.name} is no ExecuTorch program, or damaged", COPY_AGAIN)
    return content


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
        _pick(self._segments, list(named.values()))
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
        offset, length = _pick(self._segments, [number])[0]
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
            chosen = _pick(values, part.numbers(1))
            number = [part.whole(0)]
            if kind == DELEGATE_CALL:
                return Call("", _pick(delegates, number)[0], chosen)
            return Call(_pick(operators, number)[0], None, chosen)

        calls = [call(item) for chain in plan.tables(5) for item in chain.tables(2)]
        return Plan(
            plan.text(0),
            _pick(values, plan.numbers(3)),
            _pick(values, plan.numbers(4)),
            tuple(item for item in calls if item is not None),
            tuple(values),
        )

    def _delegate(self, delegate: Table) -> Delegate:
        reference = delegate.required(1)
        in_segment, index = reference.whole(0, "b"), reference.whole(1, "I")
        if not in_segment:
            return Delegate(delegate.text(0), _pick(self._inline, [index])[0])
        return Delegate(delegate.text(0), self._segment(index))


def _pick(items: Sequence[Item], places: Sequence[int]) -> tuple[Item, ...]:
    """Returns items by their numbers; a number from the file may be wrong."""
    if any(not 0 <= place < len(items) for place in places):
        raise DamagedError("it refers to what is not there")
    return tuple(items[place] for place in places)


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


def check_size(shape: Sequence[int], width: int) -> None:
    """Raises DamagedError for a tensor that no telephone holds."""
    if len(shape) > 16 or any(size < 0 for size in shape) or math.prod(shape) * width > LARGEST_TENSOR:
        shown = "x".join(map(str, shape[:8]))
        raise DamagedError(f"a tensor of {shown}, which no model for a telephone has")
