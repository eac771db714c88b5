"""In the child: a file with its rounding taken out, and the float32 file with the other's weights.

Both sides have the weights of the smaller file, rounded anew here from the float32 file, so a conversion's rounding is
the only thing that drops out. What is left of a difference is a fault, of a scale, a weight or an operator. The
quantizer keeps operators and their order, and puts QUANTIZE and DEQUANTIZE between them.
"""

from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import BuiltinOperator, TensorType
from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray, read_model_from_bytearray

from mobilevit_deploy.targets.quantization import HALF_STEP, Floats, round_to_steps

STEPS_BETWEEN = 255  # of an int8 that is not symmetric
ROUNDING = (BuiltinOperator.QUANTIZE, BuiltinOperator.DEQUANTIZE)
NUMBERS = {TensorType.INT8: np.int8, TensorType.INT32: np.int32, TensorType.FLOAT16: np.float16}


def without_rounding(content: bytes) -> bytes:
    """Returns a file that computes in float32, with the weights that its integers stand for."""
    model = read_model_from_bytearray(content)
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if not _scales(tensor).size:
            continue
        if _data(model, tensor) is not None:
            _store(model, tensor, _written(model, tensor))
        tensor.type, tensor.quantization = TensorType.FLOAT32, None
    sources: dict[int, int] = {}
    kept = []
    for operator in graph.operators:
        operator.inputs = [sources.get(number, number) for number in operator.inputs]
        if _code(model, operator) in ROUNDING and graph.tensors[operator.inputs[0]].type == TensorType.FLOAT32:
            sources[operator.outputs[0]] = operator.inputs[0]
        else:
            kept.append(operator)
    ends = {sources[number]: number for number in graph.outputs if number in sources}
    for operator in kept:  # what an output was rounded from is the output
        operator.inputs = [ends.get(number, number) for number in operator.inputs]
        operator.outputs = [ends.get(number, number) for number in operator.outputs]
    graph.operators = kept
    return bytes(convert_object_to_bytearray(model))


def with_rounded_weights(content: bytes, small: bytes) -> bytes:
    """Returns a float32 file with each weight rounded as the smaller file has it.

    Args:
        content: of the float32 file.
        small: of a file of the same graph; raises ValueError for another one.
    """
    model, other = read_model_from_bytearray(content), read_model_from_bytearray(small)
    graph, rounded = model.subgraphs[0], other.subgraphs[0]
    before = {item.outputs[0]: item for item in rounded.operators if _code(other, item) in ROUNDING}
    operators = [item for item in rounded.operators if _code(other, item) not in ROUNDING]
    if [_code(model, item) for item in graph.operators] != [_code(other, item) for item in operators]:
        raise ValueError("the smaller file has other operators than the float32 one")
    for operator, twin in zip(graph.operators, operators, strict=True):
        for i, (number, found) in enumerate(zip(operator.inputs, twin.inputs, strict=True)):
            exact = _data(model, graph.tensors[number]) if number >= 0 else None
            if exact is None or graph.tensors[number].type != TensorType.FLOAT32:
                continue
            stored = rounded.tensors[before[found].inputs[0] if found in before else found]
            if stored.type in NUMBERS:
                operator.inputs[i] = _add(model, graph, number, _rounded(exact.view(np.float32), other, stored))
    return bytes(convert_object_to_bytearray(model))


def _rounded(exact: Floats, other: Any, stored: Any) -> Floats:
    """Returns a weight on the grid that another file keeps it on."""
    exact = exact.reshape(stored.shape)
    values = _values(other, stored)
    if stored.type == TensorType.FLOAT16:
        return exact.astype(np.float16).astype(np.float32)
    scales, points = _scales(stored), np.asarray(stored.quantization.zeroPoint)
    if points.any():
        return _round_between(exact, values.astype(np.float64) - points[0], float(scales[0]))
    return round_to_steps(exact, values, scales, stored.quantization.quantizedDimension)


def _round_between(exact: Floats, steps: Any, scale: float) -> Floats:
    """Returns a constant on a grid of 255 steps between its extremes, zero among them; see ``round_to_steps``."""
    own = np.float32((max(exact.max(), 0) - min(exact.min(), 0)) / STEPS_BETWEEN) or np.float32(1)
    written = (steps * scale).astype(np.float32)
    nearest = (np.round(exact / own) * own).astype(np.float32)
    rounded: Floats = np.where(np.abs(written - exact) <= HALF_STEP * own, written, nearest)
    return rounded


def _written(model: Any, tensor: Any) -> Floats:
    """Returns the real numbers that a constant's integers stand for."""
    scales, points = _scales(tensor), np.asarray(tensor.quantization.zeroPoint)
    values = _values(model, tensor).astype(np.float64)
    axis = tensor.quantization.quantizedDimension
    shape = [-1 if i == axis else 1 for i in range(values.ndim)] if scales.size > 1 else [1] * values.ndim
    real: Floats = ((values - points.reshape(shape)) * scales.astype(np.float64).reshape(shape)).astype(np.float32)
    return real


def _values(model: Any, tensor: Any) -> Any:
    data = _data(model, tensor)
    assert data is not None  # of a constant
    return data.view(NUMBERS[tensor.type]).reshape(tensor.shape)


def _scales(tensor: Any) -> Floats:
    found = tensor.quantization.scale if tensor.quantization is not None else None
    return np.asarray([] if found is None else found, np.float32)


def _data(model: Any, tensor: Any) -> Any:
    """Returns a constant's bytes; None for what is computed."""
    data = model.buffers[tensor.buffer].data
    return None if data is None or not len(data) else np.frombuffer(bytes(data), np.uint8)


def _store(model: Any, tensor: Any, value: Floats) -> None:
    buffer = type(model.buffers[0])()
    buffer.data = np.frombuffer(value.tobytes(), np.uint8)
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)


def _add(model: Any, graph: Any, number: int, value: Floats) -> int:
    """Adds a constant beside another one, with other values; returns its number."""
    before = graph.tensors[number]
    tensor = type(before)()
    tensor.__dict__.update(before.__dict__)
    _store(model, tensor, np.ascontiguousarray(value, np.float32))
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))
