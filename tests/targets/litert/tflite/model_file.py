"""``.tflite`` files written by the field numbers of the schema, so that they can have what no converter writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import flatbuffers

# A field's value: a number with its form as in ``struct``, or a text, bytes, whole numbers, reals, a table, or tables.
Fields = Mapping[int, Any]
SLOTS = {"b": "Int8", "B": "Uint8", "i": "Int32", "I": "Uint32", "Q": "Uint64", "q": "Int64"}
INT8 = 9  # the type of a tensor
CONV_2D, DEQUANTIZE, CUSTOM = 3, 6, 32


@dataclass
class Model:
    """A convolution of 1x1 with a bias, with what a test changes."""

    codes: list[Fields] = field(default_factory=lambda: [{0: ("b", CONV_2D), 2: ("i", 3), 3: ("i", CONV_2D)}])
    operators: list[Fields] = field(default_factory=lambda: [{0: ("I", 0), 1: [0, 1, 2], 2: [3]}])
    tensors: list[dict[int, Any]] = field(
        default_factory=lambda: [
            {0: [1, 4, 4, 2], 3: "image"},
            {0: [3, 1, 1, 2], 2: ("I", 1), 3: "weight"},
            {0: [3], 2: ("I", 2), 3: "bias"},
            {0: [1, 4, 4, 3], 3: "result"},
        ]
    )
    buffers: list[Fields] = field(default_factory=lambda: [{}, {0: bytes(range(24))}, {0: bytes(12)}])
    metadata: list[Fields] = field(default_factory=list)
    signatures: list[Fields] = field(default_factory=list)
    more: dict[int, Any] = field(default_factory=dict)

    def content(self) -> bytes:
        """Returns the file."""
        graph = {0: self.tensors, 1: [0], 2: [3], 3: self.operators, 4: "main"}
        model = {0: ("I", 3), 1: self.codes, 2: [graph], 3: "of a test", 4: self.buffers, 6: self.metadata}
        builder = flatbuffers.Builder(1024)
        builder.Finish(_table(builder, {**model, 7: self.signatures, **self.more}), b"TFL3")
        return bytes(builder.Output())


def _table(builder: Any, fields: Fields) -> int:
    parts = {number: _part(builder, value) for number, value in fields.items() if not isinstance(value, tuple)}
    builder.StartObject(max(fields, default=-1) + 1)
    for number, value in fields.items():
        if isinstance(value, tuple):
            form, given = value
            getattr(builder, f"Prepend{SLOTS[form]}Slot")(number, given, None)
        else:
            builder.PrependUOffsetTRelativeSlot(number, parts[number], 0)
    return int(builder.EndObject())


def _part(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, bytes):
        return int(builder.CreateByteVector(value))
    if isinstance(value, Mapping):
        return _table(builder, value)
    if value and isinstance(value[0], Mapping):
        offsets = [_table(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    width, prepend = {int: (4, builder.PrependInt32), float: (4, builder.PrependFloat32)}[
        type(value[0]) if value else int
    ]
    builder.StartVector(width, len(value), width)
    for item in reversed(value):
        prepend(item)
    return int(builder.EndVector())
