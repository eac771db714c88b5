"""Corruptions of ONNX files: the kinds that Core ML packages have, where the format has them too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.support.mutations.changes import Change, flip_exponent_bit, scale, swap_channels, zero_channel

WEIGHT, BIAS = 1, 2  # among the inputs of layers
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LayerNormalization")


@dataclass(frozen=True)
class OnnxEdit:
    """One corruption that a model admits; ``apply`` does it to the model that it was made of."""

    kind: str
    place: str
    apply: Callable[[np.random.Generator], None]


def edits(model: onnx.ModelProto) -> Iterator[OnnxEdit]:
    """Yields every corruption that a model admits."""
    weights = {item.name: item for item in model.graph.initializer}
    yield from _of_weights(model, weights)
    yield from _of_attributes(model)
    yield from _of_wiring(model, weights)


def _of_weights(model: onnx.ModelProto, weights: dict[str, Any]) -> Iterator[OnnxEdit]:
    changes: dict[str, tuple[int, Change]] = {
        "weight scaled by 1 %": (WEIGHT, partial(scale, 1.01)),
        "weight scaled by 10 %": (WEIGHT, partial(scale, 1.1)),
        "channel of a weight zeroed": (WEIGHT, zero_channel),
        "two channels of a weight swapped": (WEIGHT, swap_channels),
        "sign of a bias flipped": (BIAS, partial(scale, -1.0)),
        "exponent bit of a weight flipped": (WEIGHT, flip_exponent_bit),
    }
    found: dict[int, list[tuple[str, Any]]] = {WEIGHT: [], BIAS: []}
    for node in model.graph.node:
        for place, known in found.items():
            if node.op_type in LAYERS and len(node.input) > place and node.input[place] in weights:
                item = weights[node.input[place]]
                if len(item.dims) and item.dims[0] > 1:
                    known.append((node.name or node.output[0], item))
    for kind, (place, change) in changes.items():
        for name, item in found[place]:
            yield OnnxEdit(kind, name, partial(_change, item, change))
    for (first, one), (second, other) in combinations(found[WEIGHT], 2):
        if one.dims == other.dims and one.name != other.name:
            yield OnnxEdit("two weights of a shape exchanged", f"{first} and {second}", partial(_exchange, one, other))


def _of_attributes(model: onnx.ModelProto) -> Iterator[OnnxEdit]:
    for node in model.graph.node:
        name = node.name or node.output[0]
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                yield OnnxEdit("epsilon made 1e-3", name, partial(_set, attribute, "f", 1e-3))
            elif attribute.name == "approximate":
                other = b"none" if attribute.s == b"tanh" else b"tanh"
                yield OnnxEdit("GELU exact and tanh confused", name, partial(_set, attribute, "s", other))
            elif attribute.name == "axis" and node.op_type == "Softmax":
                yield OnnxEdit("axis of softmax", name, partial(_set, attribute, "i", -2 if attribute.i == -1 else -1))
            elif attribute.name == "perm":
                yield OnnxEdit("perm of transpose", name, partial(_swap_last, attribute.ints))
            elif attribute.name == "pads" and any(attribute.ints):
                yield OnnxEdit("pad of conv shifted", name, partial(_shift_pads, attribute.ints))
            elif attribute.name == "keepdims":
                yield OnnxEdit("keepdims", name, partial(_set, attribute, "i", 1 - attribute.i))


def _of_wiring(model: onnx.ModelProto, weights: dict[str, Any]) -> Iterator[OnnxEdit]:
    opposites = {"Relu": "Sigmoid", "Sigmoid": "Tanh", "Tanh": "Sigmoid", "Add": "Mul", "Mul": "Add", "Gelu": "Relu"}
    for node in model.graph.node:
        name = node.name or node.output[0]
        computed = [source for source in node.input if source not in weights]
        if node.op_type in ("Sub", "Div", "MatMul") and len(computed) == 2:
            yield OnnxEdit("inputs of Sub, Div or MatMul swapped", name, partial(_swap_inputs, node))
        if node.op_type == "Concat":
            yield OnnxEdit("inputs of Concat swapped", name, partial(_swap_inputs, node))
        if node.op_type == "Add" and len(computed) == 2:
            yield OnnxEdit("residual from the wrong place", name, partial(_read_twice, node))
        if node.op_type in opposites:
            yield OnnxEdit("operation exchanged", name, partial(_set, node, "op_type", opposites[node.op_type]))


def _change(item: Any, change: Change, rng: np.random.Generator) -> None:
    values = numpy_helper.to_array(item).copy()
    change(values, rng)
    item.CopyFrom(numpy_helper.from_array(values, item.name))


def _exchange(one: Any, other: Any, _: np.random.Generator) -> None:
    one.raw_data, other.raw_data = other.raw_data, one.raw_data


def _set(message: Any, field: str, value: object, _: np.random.Generator) -> None:
    setattr(message, field, value)


def _swap_last(values: Any, _: np.random.Generator) -> None:
    values[-1], values[-2] = values[-2], values[-1]


def _shift_pads(values: Any, _: np.random.Generator) -> None:
    """Moves a window by one: one more in front, one less behind."""
    half = len(values) // 2
    values[half - 1] += 1
    values[-1] -= 1


def _swap_inputs(node: Any, _: np.random.Generator) -> None:
    node.input[0], node.input[1] = node.input[1], node.input[0]


def _read_twice(node: Any, _: np.random.Generator) -> None:
    node.input[1] = node.input[0]
