"""ONNX files with rounding taken out: what half precision or int8 computes in float32, and what it should.

Both sides have the weights of the smaller file, rounded anew here from the float32 file, so a conversion's rounding is
the only thing that drops out. What is left of a difference is a fault, of a scale, a weight or an operation.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from mobilevit_deploy.runners.base import Reading
from mobilevit_deploy.targets.onnx.files import load_onnx
from mobilevit_deploy.targets.quantization import Floats, round_to_steps

Change = Callable[[Path], bytes]  # reads a file as another model


def change_for(reading: Reading, like: Path | None = None) -> Change | None:
    """Returns how to read a file; None for as it is.

    Args:
        reading: of the file.
        like: with "rounded constants", the file that says which weights are rounded, and to what; half precision by
            default.
    """
    if reading == "unrounded":
        return _without_rounding
    if reading == "rounded constants":
        return partial(_round_like, like) if like else _round_to_half
    return None


def _without_rounding(path: Path) -> bytes:
    return _without_pairs(path) if _is_int8(path) else _widen(path)


def _round_like(small: Path, path: Path) -> bytes:
    return _round_to_int8(small, path) if _is_int8(small) else _round_to_half(path)


def _is_int8(path: Path) -> bool:
    return any(item.data_type == TensorProto.INT8 for item in load_onnx(path, weights=True).graph.initializer)


def _round_to_half(path: Path) -> bytes:
    model = load_onnx(path, weights=True)
    for item in model.graph.initializer:
        if item.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):  # a mask's -1e9 is minus infinity then, in the file too
                values = numpy_helper.to_array(item).astype(np.float16).astype(np.float32)
            item.CopyFrom(numpy_helper.from_array(values, item.name))
    return bytes(model.SerializeToString())


def _widen(path: Path) -> bytes:
    """Returns a half-precision model that computes in float32 with its rounded weights."""
    model = load_onnx(path, weights=True)
    del model.graph.value_info[:]
    for item in model.graph.initializer:
        if item.data_type == TensorProto.FLOAT16:
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float32), item.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    return bytes(model.SerializeToString())


def _without_pairs(path: Path) -> bytes:
    """Returns an int8 model without the rounding of activations; pairs that do not undo each other are left."""
    model = load_onnx(path, weights=True)
    ends = {value.name for value in model.graph.output}
    quantizers = {node.output[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    sources: dict[str, str] = {}
    for node in list(model.graph.node):
        for i, name in enumerate(node.input):
            node.input[i] = sources.get(name, name)
        quantizer = quantizers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if quantizer is None or list(quantizer.input[1:]) != list(node.input[1:]):
            continue
        if node.output[0] in ends:
            node.CopyFrom(onnx.helper.make_node("Identity", quantizer.input[:1], node.output, node.name))
        else:
            sources[node.output[0]] = quantizer.input[0]
            model.graph.node.remove(node)
    return bytes(model.SerializeToString())


def _round_to_int8(small: Path, path: Path) -> bytes:
    """Returns a float32 model with the constants rounded that are integers in the smaller one.

    A bias is rounded for each of its readers: in int8 its step is that of the reader's input.
    """
    quantized = load_onnx(small, weights=True)
    arrays = {item.name: numpy_helper.to_array(item) for item in quantized.graph.initializer}
    steps: dict[str, tuple[npt.NDArray[np.generic], Floats, int]] = {}
    for node in quantized.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            steps[node.output[0]] = (arrays[node.input[0]], arrays[node.input[1]], axis)
    read = {node.name: [steps.get(name) for name in node.input] for node in quantized.graph.node}
    model = load_onnx(path, weights=True)
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        for i, (name, step) in enumerate(zip(node.input, read.get(node.name, ()), strict=False)):
            if step and name in constants:
                node.input[i] = f"{name} of {node.name}"
                rounded = round_to_steps(constants[name], *step)
                model.graph.initializer.append(numpy_helper.from_array(rounded, node.input[i]))
    return bytes(model.SerializeToString())
