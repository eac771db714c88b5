"""Corruptions of the graph: what an operation reads, what it is, and in which order its results are taken."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from tests.support.mutations.kinds import Edit, kind
from tests.support.mutations.program import Program, source


@kind("inputs of sub, real_div or matmul swapped")
def swap_inputs(program: Program) -> Iterator[Edit]:
    for place, operation in program.operations("sub", "real_div", "matmul"):
        if source(operation, "x") != source(operation, "y"):
            yield Edit(place, partial(_swap, operation.inputs["x"].arguments[0], operation.inputs["y"].arguments[0]))


@kind("input replaced by another value")
def replace_input(program: Program) -> Iterator[Edit]:
    """The nearest value before that has the type: a residual from the wrong place."""
    earlier: list[str] = []
    for place, operation in program.operations():
        if operation.type in ("add", "mul", "sub", "real_div"):
            for parameter in ("x", "y"):
                now = source(operation, parameter)
                others = [name for name in earlier if program.same_type(name, now) and name != now]
                if others and not program.is_constant(now):
                    edit = partial(_read_from, operation, parameter, others[-1])
                    yield Edit(f"{parameter} of {place}", edit)
        earlier += [named.name for named in operation.outputs]


@kind("inputs of concat swapped")
def swap_concat_inputs(program: Program) -> Iterator[Edit]:
    for place, operation in program.operations("concat"):
        arguments = operation.inputs["values"].arguments
        for i, j in combinations(range(len(arguments)), 2):
            if arguments[i].name != arguments[j].name:
                yield Edit(f"{i} and {j} of {place}", partial(_swap, arguments[i], arguments[j]))


@kind("outputs of split swapped")
def swap_split_outputs(program: Program) -> Iterator[Edit]:
    for place, operation in program.operations("split"):
        for i, j in combinations(range(len(operation.outputs)), 2):
            if program.same_type(operation.outputs[i].name, operation.outputs[j].name):
                yield Edit(f"{i} and {j} of {place}", partial(_swap, operation.outputs[i], operation.outputs[j]))


@kind("operation left out")
def leave_out(program: Program) -> Iterator[Edit]:
    """Its readers get its input in its place."""
    for place, operation in program.operations():
        (output, *more), x = operation.outputs, source(operation, "x")
        if x and not more and program.same_type(output.name, x):
            yield Edit(place, partial(_bypass, program, output.name, x))


def _exchanges(program: Program, *types: str) -> Iterator[Edit]:
    for place, operation in program.operations(*types):
        for other in types:
            if other != operation.type:
                yield Edit(f"{place} to {other}", partial(_become, operation, other))


@kind("relu, gelu and silu exchanged")
def exchange_activations(program: Program) -> Iterator[Edit]:
    yield from _exchanges(program, "relu", "gelu", "silu")


@kind("add and mul exchanged")
def exchange_add_and_mul(program: Program) -> Iterator[Edit]:
    yield from _exchanges(program, "add", "mul")


@kind("reduce_mean and reduce_max exchanged")
def exchange_reductions(program: Program) -> Iterator[Edit]:
    yield from _exchanges(program, "reduce_mean", "reduce_max")


@kind("avg_pool and max_pool exchanged")
def exchange_pools(program: Program) -> Iterator[Edit]:
    yield from _exchanges(program, "avg_pool", "max_pool")


@kind("sigmoid and tanh exchanged")
def exchange_squashes(program: Program) -> Iterator[Edit]:
    yield from _exchanges(program, "sigmoid", "tanh")


def _swap(one: Any, other: Any, _: np.random.Generator) -> None:
    one.name, other.name = other.name, one.name


def _read_from(operation: Any, parameter: str, name: str, _: np.random.Generator) -> None:
    operation.inputs[parameter].arguments[0].name = name


def _bypass(program: Program, output: str, x: str, _: np.random.Generator) -> None:
    for _place, operation in program.operations():
        for value in operation.inputs.values():
            for argument in value.arguments:
                if argument.name == output:
                    argument.name = x


def _become(operation: Any, type_: str, _: np.random.Generator) -> None:
    """Parameters that the other operation does not have go."""
    operation.type = type_
    kept = {"relu": ("x",), "silu": ("x",), "max_pool": tuple(_POOL)}.get(type_)
    for parameter in list(operation.inputs):
        if kept is not None and parameter not in kept:
            del operation.inputs[parameter]


_POOL = ("x", "kernel_sizes", "pad_type", "strides", "pad", "ceil_mode")
