"""Movements: whatever reshapes and permutations do, the plan does, with few steps of few axes."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilevit_deploy.graph.axis_movement import (
    MAX_RANK,
    Movement,
    Shape,
    Step,
    Unfactorable,
    axes_of,
    follow,
    fuse,
    plan,
    without,
)


def perform(x: torch.Tensor, steps: list[Step]) -> torch.Tensor:
    for step in steps:
        x = x.reshape(step.values) if step.kind == "reshape" else x.permute(step.values)
        assert x.ndim <= MAX_RANK
    return x


@st.composite
def movements(draw: st.DrawFn) -> Movement:
    atoms = tuple(draw(st.lists(st.integers(2, 4), min_size=1, max_size=7)))
    order = tuple(draw(st.permutations(range(len(atoms)))))
    return Movement(draw(grouped(atoms)), atoms, order, draw(grouped(tuple(atoms[i] for i in order))))


@st.composite
def grouped(draw: st.DrawFn, sizes: Shape) -> Shape:
    """A shape of at most five axes, some of length 1, whose axes are products of neighbouring sizes."""
    cuts = sorted(draw(st.lists(st.integers(0, len(sizes)), max_size=MAX_RANK - 1)))
    ends = [0, *cuts, len(sizes)]
    return tuple(math.prod(sizes[a:b]) for a, b in itertools.pairwise(ends))


@given(movements())
@settings(deadline=None)
def test_a_plan_moves_every_element_to_its_place(movement: Movement) -> None:
    steps = plan(movement)
    if steps is None:
        assert len(fuse(movement.atoms, movement.order)[0]) > MAX_RANK
        return
    x = torch.arange(math.prod(movement.atoms)).reshape(movement.before)
    expected = x.reshape(movement.atoms).permute(movement.order).reshape(movement.after)
    assert torch.equal(perform(x, steps), expected)
    assert sum(step.kind == "permute" for step in steps) <= 2


@given(st.data())
@settings(deadline=None)
def test_following_steps_finds_the_movement(data: st.DataObject) -> None:
    atoms = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    before = shape = data.draw(grouped(atoms))
    x = y = torch.arange(math.prod(atoms)).reshape(before)
    steps = []
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            dims = tuple(data.draw(st.permutations(range(y.ndim))))
            steps.append(Step("permute", dims))
            y = y.permute(dims)
        else:
            shape = data.draw(grouped(tuple(y.shape)))
            steps.append(Step("reshape", shape))
            y = y.reshape(shape)
    try:
        movement = follow(before, steps)
    except Unfactorable:
        return
    assert movement.after == tuple(y.shape)
    assert torch.equal(x.reshape(movement.atoms).permute(movement.order).reshape(movement.after), y)


WINDOWS = [Step("reshape", (1, 2, 7, 2, 7, 64)), Step("permute", (0, 1, 3, 2, 4, 5)), Step("reshape", (4, 49, 64))]


def test_windows_of_one_image_take_four_axes() -> None:
    movement = follow((1, 14, 14, 64), WINDOWS)
    assert movement == Movement((1, 14, 14, 64), (2, 7, 2, 7, 64), (0, 2, 1, 3, 4), (4, 49, 64))
    assert plan(movement) == [
        Step("reshape", (2, 7, 2, 448)),
        Step("permute", (0, 2, 1, 3)),
        Step("reshape", (4, 49, 64)),
    ]


def test_there_and_back_is_nothing() -> None:
    back = [Step("reshape", (1, 2, 2, 7, 7, 64)), Step("permute", (0, 1, 3, 2, 4, 5)), Step("reshape", (1, 14, 14, 64))]
    assert plan(follow((1, 14, 14, 64), [*WINDOWS, *back])) == []


def test_six_axes_that_all_part_take_two_permutations() -> None:
    movement = Movement((64,), (2,) * 6, (5, 4, 3, 2, 1, 0), (2, 32))
    steps = plan(movement)
    assert steps is not None
    assert [step.kind for step in steps] == ["reshape", "permute", "reshape", "permute", "reshape"]


def test_a_movement_of_too_many_axes_has_no_plan() -> None:
    assert plan(Movement((2**9,), (2,) * 9, tuple(reversed(range(9))), (2**9,)), 3) is None


def test_a_permutation_in_place_takes_one_step() -> None:
    assert plan(Movement((1, 6, 5), (6, 5), (1, 0), (1, 5, 6))) == [Step("permute", (0, 2, 1))]


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ((1, 784, 64), (1, 2, 784, 32), [Step("reshape", (784, 1, 2, 32)), Step("permute", (1, 2, 0, 3))]),
        ((1, 784, 64), (1, 784, 2, 32), [Step("reshape", (1, 784, 2, 32))]),
        ((1, 2, 784, 32), (1, 784, 64), [Step("permute", (2, 0, 1, 3)), Step("reshape", (1, 784, 64))]),
    ],
)
def test_a_permutation_is_written_on_axes_that_are_there_or_wanted(
    before: Shape, after: Shape, steps: list[Step]
) -> None:
    """One reshape at most: heads are split before the permutation, or joined behind it."""
    atoms = (2, 784, 32) if before[1] == 2 else (784, 2, 32)
    order = (1, 0, 2) if len(steps) == 2 else (0, 1, 2)
    assert plan(Movement(before, atoms, order, after)) == steps


@given(movements(), st.data())
@settings(deadline=None)
def test_a_movement_without_an_axis_moves_one_part(movement: Movement, data: st.DataObject) -> None:
    """Cutting the result at an index is moving the source's part that has the index in the atoms of the axis."""
    axis = data.draw(st.integers(0, len(movement.after) - 1))
    taken = axes_of(movement)[axis]
    assert math.prod(movement.atoms[atom] for atom in taken) == movement.after[axis]
    index = data.draw(st.integers(0, movement.after[axis] - 1))
    x = torch.arange(math.prod(movement.atoms)).reshape(movement.atoms)
    expected = x.permute(movement.order).reshape(movement.after).select(axis, index)
    part = x.movedim(taken, tuple(range(len(taken)))).reshape(-1, *without(movement, axis, ()).atoms)[index]
    left = without(movement, axis, tuple(part.shape))
    assert torch.equal(part.permute(left.order).reshape(left.after), expected)


def test_a_reshape_across_the_axes_is_named() -> None:
    with pytest.raises(Unfactorable, match="step 1 cuts across"):
        follow((6, 5), [Step("permute", (1, 0)), Step("reshape", (2, 15))])


@pytest.mark.parametrize(("before", "after"), [((2, 0, 3), (0, 5)), ((0,), (1, 0)), ((0, 4), (0,))])
def test_a_tensor_without_elements_is_not_followed(before: Shape, after: Shape) -> None:
    with pytest.raises(Unfactorable):
        follow(before, [Step("reshape", after)])
