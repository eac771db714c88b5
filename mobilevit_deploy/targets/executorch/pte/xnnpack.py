"""What the XNNPACK delegate was given: its own FlatBuffer, with the operations and the tensors between them.

The numbers of fields are those of ExecuTorch's ``backends/xnnpack/serialization/schema.fbs``.
"""

import struct
from collections.abc import Mapping, Sequence

from mobilevit_deploy.targets.executorch.pte.flatbuffer import DamagedError, Table
from mobilevit_deploy.targets.executorch.pte.program import check_size
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


def read_delegate(content: bytes, at: str) -> list[Operation]:
    """Returns the operations of one delegate, in order.

    Args:
        content: what the delegate was given.
        at: where it stands in the program.

    Raises:
        DamagedError: it is no XNNPACK graph.
    """
    start, size = 0, len(content)
    if content[4:8] == HEADER:
        start, size = struct.unpack_from("<II", content, 10)
    graph = Table.root(content[start : start + size])
    values: dict[int, Tensor] = {}
    for item in graph.tables(2):
        number, tensor = _tensor(item)
        values[number] = tensor
    ends = set(graph.numbers(5, "I"))
    return [_operation(node, values, ends, at) for node in graph.tables(1)]


def _tensor(item: Table) -> tuple[int, Tensor]:
    value = item.required(1)
    plain = value if item.whole(0, "B") == _PLAIN else value.required(0)
    shape, dtype = tuple(plain.numbers(2, "I")), _TYPES.get(plain.whole(0, "h"), "unknown")
    check_size(shape, 4)
    return plain.whole(6, "I"), Tensor(shape, dtype)


def _operation(node: Table, values: Mapping[int, Tensor], ends: set[int], at: str) -> Operation:
    kind = node.whole(0, "B")
    if not 1 <= kind <= len(NODES):
        raise DamagedError(f"XNNPACK has no operation {kind}")
    name, (inputs, output) = NODES[kind - 1]
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
