"""Corruptions of what an operation is told: epsilons, axes, pads, modes, shapes and flags."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations, permutations
from typing import Any

import numpy as np

from tests.support.mutations.kinds import Edit, kind
from tests.support.mutations.program import Constant, Program, source

Numbers = list[int]


def _to(place: str, constant: Constant, values: Numbers | list[float] | list[bool]) -> Edit:
    return Edit(f"{place} to {values}", lambda _: constant.write(np.array(values)))


def _parameters(program: Program, types: Iterable[str], parameter: str) -> Iterator[tuple[str, Any, Constant]]:
    """Yields place, operation and constant wherever an operation of these types has its own constant there."""
    for place, operation in program.operations(*types):
        constant = program.constant(operation, parameter)
        if constant is not None:
            yield f"{parameter} of {place}", operation, constant


_NORMS = ("layer_norm", "batch_norm", "instance_norm")


@kind("epsilon 1e-6 and 1e-5 confused")
def confuse_epsilon(program: Program) -> Iterator[Edit]:
    for place, _, epsilon in _parameters(program, _NORMS, "epsilon"):
        yield Edit(place, partial(_write_epsilon, epsilon, None))


@kind("epsilon made 1e-3")
def raise_epsilon(program: Program) -> Iterator[Edit]:
    for place, _, epsilon in _parameters(program, _NORMS, "epsilon"):
        yield Edit(place, partial(_write_epsilon, epsilon, 1e-3))


def _write_epsilon(epsilon: Constant, value: float | None, _: np.random.Generator) -> None:
    epsilon.write(np.array(value or (1e-6 if epsilon.read() > 3e-6 else 1e-5)))


@kind("axis of softmax")
def change_softmax_axis(program: Program) -> Iterator[Edit]:
    yield from _other_axis(program, "softmax", "axis")


@kind("axis of concat")
def change_concat_axis(program: Program) -> Iterator[Edit]:
    yield from _other_axis(program, "concat", "axis")


@kind("axes of reduce")
def change_reduce_axes(program: Program) -> Iterator[Edit]:
    for type_ in ("reduce_mean", "reduce_max", "reduce_sum"):
        yield from _other_axes(program, type_)


@kind("axes of layer_norm")
def change_layer_norm_axes(program: Program) -> Iterator[Edit]:
    yield from _other_axes(program, "layer_norm")


def _other_axis(program: Program, type_: str, parameter: str) -> Iterator[Edit]:
    for place, operation, axis in _parameters(program, [type_], parameter):
        shape = program.shape(operation.outputs[0].name)
        for other in range(len(shape)):
            if other != int(axis.read()) % len(shape):
                yield _to(place, axis, [other])


def _other_axes(program: Program, type_: str) -> Iterator[Edit]:
    for place, operation, axes in _parameters(program, [type_], "axes"):
        rank = len(program.shape(source(operation, "x")))
        now = sorted(axis % rank for axis in axes.read().tolist())
        for other in combinations(range(rank), len(now)):
            if list(other) != now:
                yield _to(place, axes, list(other))


@kind("perm of transpose, same shape")
def change_perm(program: Program) -> Iterator[Edit]:
    for place, operation, perm in _parameters(program, ["transpose"], "perm"):
        shape = program.shape(source(operation, "x"))
        others = _other_perms([axis % len(shape) for axis in perm.read().tolist()], shape)
        if others:
            yield Edit(place, partial(_choose, perm, others))


def _other_perms(now: Numbers, shape: tuple[int, ...]) -> list[Numbers]:
    """Returns the orders that give the same shape and put values elsewhere."""
    wanted, moved = [shape[axis] for axis in now], _moved(now, shape)
    perms = map(list, permutations(range(len(shape))))
    return [perm for perm in perms if [shape[axis] for axis in perm] == wanted and _moved(perm, shape) != moved]


def _choose(constant: Constant, others: list[Numbers], rng: np.random.Generator) -> None:
    constant.write(np.array(others[rng.integers(len(others))]))


def _moved(perm: Iterable[int], shape: tuple[int, ...]) -> Numbers:
    """Returns the order of the axes that are longer than 1: those alone say where a value goes."""
    return [axis for axis in perm if shape[axis] > 1]


@kind("pad of conv shifted, same shape")
def shift_pad(program: Program) -> Iterator[Edit]:
    for place, _, pad in _parameters(program, ["conv"], "pad"):
        top, bottom, *rest = pad.read().tolist()
        if top > 0:
            yield _to(place, pad, [top - 1, bottom + 1, *rest])


@kind("pad of conv dropped")
def drop_pad(program: Program) -> Iterator[Edit]:
    for place, _, pad in _parameters(program, ["conv"], "pad"):
        if any(pad.read()):
            yield _to(place, pad, [0] * math.prod(pad.shape))


@kind("pad_type of conv")
def change_pad_type(program: Program) -> Iterator[Edit]:
    for place, operation, pad_type in _parameters(program, ["conv"], "pad_type"):
        pad, strides = program.constant(operation, "pad"), program.constant(operation, "strides")
        if pad_type.text == "custom" and pad is not None and any(pad.read()):
            yield Edit(f"{place} to valid", partial(_set_text, pad_type, "valid"))
            if strides is not None and max(strides.read()) > 1:  # else "same" is what the pads say already
                yield Edit(f"{place} to same", partial(_set_text, pad_type, "same"))


@kind("strides of conv")
def change_strides(program: Program) -> Iterator[Edit]:
    for place, operation, strides in _parameters(program, ["conv"], "strides"):
        if max(program.shape(source(operation, "x"))[2:]) > 1:
            yield _to(place, strides, [1 if stride > 1 else 2 for stride in strides.read().tolist()])


@kind("dilations of conv, same shape")
def change_dilations(program: Program) -> Iterator[Edit]:
    for place, operation, dilations in _parameters(program, ["conv"], "dilations"):
        pad = program.constant(operation, "pad")
        kernel = program.shape(source(operation, "weight"))[2:]
        if pad is not None and any(pad.read()) and max(kernel) > 1 and all(size % 2 for size in kernel):
            wider = [int(before) + size // 2 for before, size in zip(pad.read(), np.repeat(kernel, 2), strict=True)]
            yield Edit(place, partial(_dilate, dilations, pad, wider))


def _dilate(dilations: Constant, pad: Constant, wider: Numbers, _: np.random.Generator) -> None:
    dilations.write(dilations.read() + 1)
    pad.write(np.array(wider))


@kind("groups of conv")
def change_groups(program: Program) -> Iterator[Edit]:
    for place, operation, groups in _parameters(program, ["conv"], "groups"):
        channels = program.shape(source(operation, "x"))[1]
        if channels > 1:
            yield _to(place, groups, [1 if int(groups.read()) > 1 else channels])


@kind("GELU exact and tanh confused")
def confuse_gelu(program: Program) -> Iterator[Edit]:
    for place, _, mode in _parameters(program, ["gelu"], "mode"):
        other = "TANH_APPROXIMATION" if mode.text == "EXACT" else "EXACT"
        yield Edit(f"{place} to {other}", partial(_set_text, mode, other))


@kind("GELU by its sigmoid approximation")
def approximate_gelu(program: Program) -> Iterator[Edit]:
    for place, _, mode in _parameters(program, ["gelu"], "mode"):
        yield Edit(place, partial(_set_text, mode, "SIGMOID_APPROXIMATION"))


def _set_text(constant: Constant, text: str, _: np.random.Generator) -> None:
    constant.set_text(text)


@kind("flag of avg_pool's padding")
def change_pool_padding(program: Program) -> Iterator[Edit]:
    flag = "exclude_padding_from_average"
    for place, operation, exclude in _parameters(program, ["avg_pool"], flag):
        pad = program.constant(operation, "pad")
        if pad is not None and any(pad.read()):
            yield _to(place, exclude, [not bool(exclude.read())])


@kind("shape of reshape permuted")
def change_shape(program: Program) -> Iterator[Edit]:
    for place, _, shape in _parameters(program, ["reshape"], "shape"):
        *rest, height, width = shape.read().tolist()
        if height != width:
            yield _to(place, shape, [*rest, width, height])


@kind("transpose flag of matmul")
def change_transpose(program: Program) -> Iterator[Edit]:
    for parameter in ("transpose_x", "transpose_y"):
        for place, _, flag in _parameters(program, ["matmul"], parameter):
            yield _to(place, flag, [not bool(flag.read())])


@kind("slice shifted by one, same shape")
def shift_slice(program: Program) -> Iterator[Edit]:
    for place, operation in program.operations("slice_by_index"):
        begin, end = program.constant(operation, "begin"), program.constant(operation, "end")
        shape, cut = program.shape(source(operation, "x")), program.shape(operation.outputs[0].name)
        if begin is None or end is None or len(shape) != len(cut):
            continue
        for axis in np.flatnonzero(np.array(shape) != cut):
            edit = partial(_shift, program, operation, int(axis))
            yield Edit(f"axis {axis} of {place}", edit)


def _shift(program: Program, operation: Any, axis: int, _: np.random.Generator) -> None:
    """Moves the window by one place, inwards where it lies at the end; masks that would hide that are cleared."""
    size = program.shape(source(operation, "x"))[axis]
    length = program.shape(operation.outputs[0].name)[axis]
    begin, end = program.constant(operation, "begin"), program.constant(operation, "end")
    masks = [program.constant(operation, name) for name in ("begin_mask", "end_mask")]
    assert begin is not None  # the site was chosen for having both
    assert end is not None
    starts, ends = begin.read(), end.read()
    first = 0 if masks[0] is not None and masks[0].read()[axis] else int(starts[axis]) % size
    moved = first + 1 if first + 1 + length <= size else first - 1
    starts[axis], ends[axis] = moved, moved + length
    begin.write(starts)
    end.write(ends)
    for mask in masks:
        if mask is not None:
            flags = mask.read()
            flags[axis] = False
            mask.write(flags)
