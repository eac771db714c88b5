"""Corruptions of the numbers: weights, biases and constant factors, and single bits of the weight file."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations

import numpy as np

from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray
from tests.support.mutations import changes
from tests.support.mutations.changes import Change
from tests.support.mutations.kinds import Edit, kind
from tests.support.mutations.program import Constant, Program

_WEIGHTS = {"conv": "weight", "conv_transpose": "weight", "linear": "weight", "layer_norm": "gamma"}
_BIASES = {"conv": "bias", "conv_transpose": "bias", "linear": "bias", "layer_norm": "beta"}


def _constants(program: Program, parameters: dict[str, str]) -> Iterator[tuple[str, Constant]]:
    for place, operation in program.operations(*parameters):
        constant = program.constant(operation, parameters[operation.type])
        if constant is not None and constant.is_float:
            yield f"{parameters[operation.type]} of {place}", constant


def _edit(place: str, constant: Constant, change: Change) -> Edit:
    def apply(rng: np.random.Generator) -> None:
        values = constant.read()
        change(values, rng)
        constant.write(values)

    return Edit(place, apply)


@kind("weight scaled by 1 %")
def scale_slightly(program: Program) -> Iterator[Edit]:
    for place, weight in _constants(program, _WEIGHTS):
        yield _edit(place, weight, partial(changes.scale, 1.01))


@kind("weight scaled by 10 %")
def scale(program: Program) -> Iterator[Edit]:
    for place, weight in _constants(program, _WEIGHTS):
        yield _edit(place, weight, partial(changes.scale, 1.1))


@kind("channel of a weight zeroed")
def zero_channel(program: Program) -> Iterator[Edit]:
    for place, weight in _constants(program, _WEIGHTS):
        yield _edit(place, weight, changes.zero_channel)


@kind("two channels of a weight swapped")
def swap_channels(program: Program) -> Iterator[Edit]:
    for place, weight in _constants(program, _WEIGHTS):
        if weight.shape[0] > 1:
            yield _edit(place, weight, changes.swap_channels)


@kind("sign of a bias flipped")
def negate_bias(program: Program) -> Iterator[Edit]:
    for place, bias in _constants(program, _BIASES):
        yield _edit(place, bias, partial(changes.scale, -1.0))


@kind("two weights of a shape exchanged")
def exchange_weights(program: Program) -> Iterator[Edit]:
    for (first, one), (second, other) in combinations(_constants(program, _WEIGHTS), 2):
        if one.shape == other.shape:
            yield Edit(f"{first} and {second}", partial(_exchange, one, other))


@kind("exponent bit of a weight flipped")
def flip_exponent_bit(program: Program) -> Iterator[Edit]:
    for place, weight in _constants(program, _WEIGHTS):
        if weight.is_stored:
            yield _edit(place, weight, _flip_exponent_bit)


@kind("lowest bit of a weight flipped")
def flip_lowest_bit(program: Program) -> Iterator[Edit]:
    for place, weight in _constants(program, _WEIGHTS):
        if weight.is_stored:
            yield _edit(place, weight, _flip_lowest_bit)


@kind("constant factor changed by 5 %")
def change_factor(program: Program) -> Iterator[Edit]:
    for place, operation in program.operations("mul", "real_div"):
        for parameter in ("x", "y"):
            factor = program.constant(operation, parameter)
            if factor is not None and factor.is_float:
                yield _edit(f"{parameter} of {place}", factor, partial(changes.scale, 1.05))


@kind("constant summand changed by 5 %")
def change_summand(program: Program) -> Iterator[Edit]:
    for place, operation in program.operations("add", "sub"):
        for parameter in ("x", "y"):
            summand = program.constant(operation, parameter)
            if summand is not None and summand.is_float:
                yield _edit(f"{parameter} of {place}", summand, partial(changes.scale, 1.05))


def _exchange(one: Constant, other: Constant, _: np.random.Generator) -> None:
    first, second = one.read(), other.read()
    one.write(second)
    other.write(first)


def _flip_exponent_bit(values: AnyArray, rng: np.random.Generator) -> None:
    info = np.finfo(values.dtype)
    element, bit = rng.integers(values.size), info.nmant + int(rng.random() * info.nexp)
    _flip(values, int(element), bit)


def _flip_lowest_bit(values: AnyArray, rng: np.random.Generator) -> None:
    _flip(values, int(rng.integers(values.size)), 0)


def _flip(values: AnyArray, element: int, bit: int) -> None:
    bits = values.reshape(-1).view(f"u{values.itemsize}")
    bits[element] ^= bits.dtype.type(1 << bit)
