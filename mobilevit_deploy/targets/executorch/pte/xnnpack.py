"""What the XNNPACK delegate was given: its own FlatBuffer, with the operations and the tensors between them.

The numbers of fields are those of ExecuTorch's ``backends/xnnpack/serialization/schema.fbs``.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mobilevit_deploy.targets.flatbuffer import DamagedError, Table, check_size
from mobilevit_deploy.targets.operations import Operation, Tensor

BACKEND = "XnnpackBackend"
HEADER = b"XH00"

# In the order of the union, from 1 on; each with the numbers of the fields that hold its inputs, and its output's.
_ONE: tuple[Sequence[int], int] = ((0,), 1)
_TWO: tuple[Sequence[int], int] = ((0, 1), 2)
_CONV: tuple[Sequence[int], int] = ((15, 16, 17), 18)
_POOL: tuple[Sequence[int], int] = ((10,), 11)
_CAT: tuple[Sequence[int], int] = ((1, 2, 3, 4), 5)
_RESHAPE: tuple[Sequence[int], int] = ((2,), 3)
NODES: tuple[tuple[str, tuple[Sequence[int], int]], ...] = (
    ("Add", _TWO), ("FullyConnected", ((0, 1, 2), 3)), ("Softmax", _ONE), ("Sigmoid", _ONE),
    ("StaticTranspose", _RESHAPE), ("Clamp", _ONE), ("Conv2d", _CONV), ("Div", _TWO),
    ("StaticResizeBilinear2D", _RESHAPE), ("StaticConstantPad", ((3,), 4)), ("AvgPooling2d", _POOL),
    ("Minimum", _TWO), ("DepthwiseConv2d", _CONV), ("MaxPooling2d", _POOL), ("Multiply", _TWO), ("Subtract", _TWO),
    ("Floor", _ONE), ("Convert", _ONE), ("GlobalAvgPooling2d", _ONE), ("StaticReshape", _RESHAPE),
    ("ArgMaxPooling2d", ((6,), 7)), ("SquareRoot", _ONE), ("Ceiling", _ONE), ("Hardswish", _ONE),
    ("LeakyReLU", ((1,), 2)), ("Maximum", _TWO), ("Negate", _ONE), ("Square", _ONE), ("ELU", ((1,), 2)), ("Abs", _ONE),
    ("PReLU", _TWO), ("Concatenate2", _CAT), ("Concatenate3", _CAT), ("Concatenate4", _CAT),
    ("StaticSlice", ((3,), 4)), ("ScaledDotProductAttention", ((0, 1, 2, 3, 4), 5)), ("BatchMatrixMultiply", _TWO),
    ("Concatenate5", _CAT), ("ConvTranspose2d", _CONV), ("ReciprocalSquareRoot", _ONE), ("Log", _ONE), ("Gelu", _ONE),
    ("Tanh", _ONE), ("Exp", _ONE), ("Sin", _ONE), ("Copy", _ONE), ("Cos", _ONE),
)  # fmt: skip
_TYPES = {1: "float32", 2: "float16", 3: "int8", 4: "uint8", 5: "int32", 6: "int8", 7: "int32", 9: "int8", 12: "int32"}
_PLAIN = 1  # a value that is not quantised
PER_CHANNEL, PER_GROUP = 1, 4  # kinds of quantisation whose scales lie beside the delegate's content
ROLES = ("input", "weight", "bias")  # of what a layer reads


def read_delegate(content: bytes, at: str) -> list[Operation]:
    """Returns the operations of one delegate, in order.

    Args:
        content: what the delegate was given.
        at: where it stands in the program.

    Raises:
        DamagedError: it is no XNNPACK graph.
    """
    graph = _graph(content)
    values: dict[int, Tensor] = {}
    for item in graph.tables(2):
        number, tensor = _tensor(item)
        values[number] = tensor
    ends = set(graph.numbers(5, "I"))
    return [_operation(node, values, ends, at) for node in graph.tables(1)]


@dataclass(frozen=True)
class Reader:
    """A node that reads a weight from the file.

    Attributes:
        name: of the weight: the delegate, the node by its number there, and what it is to the node.
        key: of the weight's content.
        handle: of the node of the exported program that the node was made from.
    """

    name: str
    key: str
    handle: int


def read_readers(content: bytes, at: str) -> list[Reader]:
    """Returns what reads the weights that one delegate finds beside its content; arguments as in ``read_delegate``."""
    graph = _graph(content)
    keys = [item.text(2) for item in graph.tables(8)]
    weights = {_tensor(item)[0]: _buffers(item) for item in graph.tables(2)}
    found = []
    for i, node in enumerate(graph.tables(1)):
        kind, (inputs, _) = _kind(node)
        part = node.required(1)
        roles = ROLES if len(inputs) == len(ROLES) else [f"input {k}" for k in range(len(inputs))]
        for role, field in zip(roles, inputs, strict=True):
            for what, place in weights.get(part.whole(field, "I"), []):
                if place >= len(keys):
                    raise DamagedError("it refers to what is not there")
                found.append(Reader(f"{at}, {kind} {i}, {role}{what}", keys[place], node.whole(2, "I")))
    return found


def _buffers(item: Table) -> list[tuple[str, int]]:
    """Returns where a value finds its numbers and, quantised by channel, its scales, with what they are to it."""
    value = item.required(1)
    if item.whole(0, "B") == _PLAIN:
        return [("", place) for place in [value.whole(3, "I")] if place]
    found = [("", value.required(0).whole(3, "I"))]
    scales = {PER_CHANNEL: 2, PER_GROUP: 4}.get(value.whole(1, "B"))
    if scales is not None:
        found.append((", scales", value.required(2).whole(scales, "I")))
    return [(what, place) for what, place in found if place]


def _graph(content: bytes) -> Table:
    """Returns the FlatBuffer of one delegate."""
    start, size = 0, len(content)
    if content[4:8] == HEADER:
        start, size = struct.unpack_from("<II", content, 10)
    return Table.root(content[start : start + size])


def _kind(node: Table) -> tuple[str, tuple[Sequence[int], int]]:
    """Returns a node's operation, and the fields of its inputs and its output."""
    kind = node.whole(0, "B")
    if not 1 <= kind <= len(NODES):
        raise DamagedError(f"XNNPACK has no operation {kind}")
    return NODES[kind - 1]


def _tensor(item: Table) -> tuple[int, Tensor]:
    value = item.required(1)
    plain = value if item.whole(0, "B") == _PLAIN else value.required(0)
    shape, dtype = tuple(plain.numbers(2, "I")), _TYPES.get(plain.whole(0, "h"), "unknown")
    check_size(shape, 4)
    return plain.whole(6, "I"), Tensor(shape, dtype)


def _operation(node: Table, values: Mapping[int, Tensor], ends: set[int], at: str) -> Operation:
    name, (inputs, output) = _kind(node)
    part = node.required(1)
    found = [part.whole(field, "I") for field in inputs]
    result = part.whole(output, "I")
    return Operation(
        name,
        at,
        tuple(values[number] for number in found if number in values),
        tuple(values[number] for number in [result] if number in values),
        result in ends,
    )
