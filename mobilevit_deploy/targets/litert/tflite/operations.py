"""A subgraph's operators as the operations that rules read, and what its weights take."""

import math
from collections.abc import Iterator

from mobilevit_deploy.targets.litert.tflite.program import ABSENT, Program, Subgraph, Value
from mobilevit_deploy.targets.operations import Operation, Tensor

CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D"}
UNPACKED = {"DEQUANTIZE", "DENSIFY"}  # what delegates do once with a constant, when the model is loaded
WHOLE = {"int32", "int64", "bool"}  # types of the constants that say how, such as axes and sizes


def operations_of(program: Program, subgraph: int = 0) -> Iterator[Operation]:
    """Yields the operations of a subgraph in order.

    The kind of a custom operator has its own name, ``CUSTOM:Detect``, and so has a composite's. What says how an
    operator computes, such as axes or a size, is left out of its inputs, for delegates read it beforehand. ``at`` is
    the name of what the operation computes first.
    """
    graph = program.subgraphs[subgraph]
    constants = _constants(program, graph)
    for i, item in enumerate(graph.operators):
        given = [number for number in item.inputs if number != ABSENT]
        data = [number for number in given if number not in constants or not _says_how(graph.values[number])]
        outputs = [graph.values[number] for number in item.outputs]
        yield Operation(
            f"{item.kind}:{item.name}" if item.name else item.kind,
            outputs[0].name if outputs and outputs[0].name else f"operator {i}",
            tuple(_tensor(graph.values[number], number in constants) for number in data),
            tuple(_tensor(value, False) for value in outputs),
            bool(set(item.outputs) & set(graph.outputs)),
        )


def _constants(program: Program, graph: Subgraph) -> set[int]:
    """Returns the tensors that are known before a subgraph runs, those among them that are unpacked first."""
    found = {number for number, value in enumerate(graph.values) if len(program.data(value.buffer))}
    for item in graph.operators:
        if item.kind in UNPACKED and found.issuperset(item.inputs):
            found.update(item.outputs)
    return found


def _says_how(value: Value) -> bool:
    return value.dtype in WHOLE and value.quantization is None


def _tensor(value: Value, constant: bool) -> Tensor:
    shape = tuple("?" if axis in value.free else size for axis, size in enumerate(value.shape))
    points = value.quantization.zero_points if value.quantization else ()
    return Tensor(shape, value.dtype, constant, max(points, key=abs, default=None))


def macs(operation: Operation) -> int:
    """Returns an operation's multiply-accumulates, by its shapes; an axis that may change counts as 1."""
    if len(operation.inputs) < 2 or not operation.outputs:
        return 0
    first, second = (_sizes(tensor) for tensor in operation.inputs[:2])
    result = _sizes(operation.outputs[0])
    if operation.kind in CONVOLUTIONS:  # each place of the output meets the whole weight; channels lie last
        return math.prod(result[:-1]) * math.prod(second)
    if operation.kind == "TRANSPOSE_CONV":  # each place of the input does, which comes after the weight
        return math.prod(second[:-1]) * math.prod(first)
    if operation.kind == "FULLY_CONNECTED":
        return math.prod(result) * math.prod(second[-1:])
    if operation.kind == "BATCH_MATMUL":  # either factor may be transposed: the first has rows of what is summed over
        return math.prod(result) * math.prod(first[-2:]) // max(1, math.prod(result[-2:-1]))
    return 0


def _sizes(tensor: Tensor) -> list[int]:
    return [size if isinstance(size, int) else 1 for size in tensor.shape]


def weights_by_type(program: Program) -> dict[str, int]:
    """Returns the bytes of all constants by their type, the most first; what several tensors share counts once."""
    seen: dict[int, str] = {}
    for graph in program.subgraphs:
        for value in graph.values:
            seen.setdefault(value.buffer, value.dtype)
    found: dict[str, int] = {}
    for buffer, dtype in seen.items():
        found[dtype] = found.get(dtype, 0) + len(program.data(buffer))
    return dict(sorted(((dtype, size) for dtype, size in found.items() if size), key=lambda item: -item[1]))
