"""A program read as another one, in the child: half precision computed in float32, or float32 with rounded weights.

Weights lie in the file as blobs that Apple's packages do not hand out, so it is the program that is changed: a cast
stands behind every constant, and every other value gets another type.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from coreai._compiler.dialects import coreai
from coreai._compiler.ir import (
    DenseElementsAttr,
    F16Type,
    F32Type,
    FunctionType,
    InsertionPoint,
    RankedTensorType,
    TypeAttr,
)

from mobilevit_deploy.targets.coreai.nodes import source_of

ROUNDINGS = 2.0**-10  # two of half precision, as a share
CONSTANT = "coreai.constant"
OUTPUT = "coreai.output"


def read_unrounded(program: Any, rounds: bool = False) -> None:
    """Computes in float32 what the program computes in half precision, from the same weights.

    Args:
        program: to change.
        rounds: the result of each operation to half precision, once, as hardware does that sums in float32.
    """
    for graph in _graphs(program):
        block = graph.bodyRegion.blocks[0]
        calls = list(block.operations)
        for item in calls:
            if item.name == CONSTANT:
                _cast(item, F16Type, np.float32)
                continue
            half = _is(item, F16Type)
            for result in item.results:
                result.set_type(_widened(result.type))
            if rounds and half and item.name != OUTPUT:
                _cast(item, F32Type, np.float16, np.float32)
        for argument in block.arguments:
            argument.set_type(_widened(argument.type))
        kinds = graph.function_type.value
        widened = FunctionType.get(
            [_widened(kind) for kind in kinds.inputs], [_widened(kind) for kind in kinds.results]
        )
        graph.attributes["function_type"] = TypeAttr.get(widened)


def round_constants(program: Any, like: Any) -> None:
    """Gives a float32 program the constants that the same in half precision has: its weights are rounded.

    What that keeps in float32 stays as it is there, such as the threshold of an operation that PyTorch takes apart to
    float32 ones, or the scales of an interpolation: a value may lie between a number and the rounded one.

    Args:
        program: to change.
        like: the same in half precision. Some of its inner functions compute in float32, with an epsilon of float32.
    """
    rounded = {_kind(graph) for graph in _graphs(like) if any(_is(item, F16Type) for item in _constants(graph))}
    kept = {place: value for graph in _graphs(like) for place, value, _, _ in _float32_uses(graph)}
    for graph in _graphs(program):
        if _kind(graph) not in rounded:
            continue
        constants = _constants(graph)
        for place, value, reader, operand in list(_float32_uses(graph)):
            own = kept.get(place)
            if own is not None and own.shape == value.shape and np.allclose(own, value, rtol=ROUNDINGS, atol=0):
                with InsertionPoint(reader):
                    reader.operands[operand] = coreai.constant(own)
        for item in constants:
            _cast(item, F32Type, np.float16, np.float32)


def _float32_uses(graph: Any) -> Iterator[tuple[tuple[str, str, str, int], npt.NDArray[np.float32], Any, int]]:
    """Yields where a function reads the float32 constants that stand in it, the value, the reader and which operand.

    The place has the function, the node of the program, the kind of the reader and its operand: of both precisions
    these are the same. Large constants lie beside the program.
    """
    for item in _constants(graph):
        if _is(item, F32Type) and DenseElementsAttr.isinstance(item.attributes["value"]):
            for use in item.results[0].uses:
                place = (_kind(graph), source_of(use.owner), use.owner.name, use.operand_number)
                yield place, np.array(item.attributes["value"]), use.owner, use.operand_number


def _constants(graph: Any) -> list[Any]:
    return [item for item in graph.bodyRegion.blocks[0].operations if item.name == CONSTANT]


def _is(item: Any, kind: Any) -> bool:
    type_ = item.results[0].type if item.results else None
    return isinstance(type_, RankedTensorType) and bool(kind.isinstance(type_.element_type))


def _kind(graph: Any) -> str:
    """Returns a function's name without the random letters that an inner one ends in."""
    name = str(graph.sym_name.value)
    return name.rpartition("_")[0] or name


def _graphs(program: Any) -> Iterator[Any]:
    """Yields the functions of a program, and makes room to write in each."""
    for graph in program._module._body.operations:
        with graph.location:
            yield graph


def _cast(item: Any, kind: Any, *types: Any) -> None:
    """Lets the readers of a constant of one kind read it through casts."""
    (result,) = item.results
    if not _is(item, kind):
        return
    value, casts = result, list[Any]()
    for dtype in types:
        with InsertionPoint(item if not casts else casts[-1]):
            value = coreai.cast(value, dtype)
        value.owner.move_after(casts[-1] if casts else item.operation)
        casts.append(value.owner)
    result.replace_all_uses_except(value, casts)


def _widened(kind: Any) -> Any:
    """Returns the float32 type of a half-precision one, and any other as it is."""
    if isinstance(kind, RankedTensorType) and F16Type.isinstance(kind.element_type):
        return RankedTensorType.get(kind.shape, F32Type.get())
    return kind
