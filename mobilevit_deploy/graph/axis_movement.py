"""Reshapes and permutations of a tensor as one movement of its axes, and how to write it again with few, small steps.

A movement is followed by its atoms: the factors of the axes that no reshape cuts further. A window
partition of (B, 14, 14, C) has the atoms B, 2, 7, 2, 7, C; a reshape only groups neighbouring atoms
differently, a permutation reorders them. What counts in the end is the order of the atoms alone: atoms
that stay neighbours move as one axis, and axes of length 1 do not move at all.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
Order = tuple[int, ...]

MAX_RANK = 5  # what the Neural Engine takes, and coremltools without a fallback


@dataclass(frozen=True)
class Step:
    """A reshape to ``values`` (``kind`` "reshape"), or a permutation by ``values`` ("permute")."""

    kind: str
    values: Shape


@dataclass(frozen=True)
class Movement:
    """From shape ``before`` to shape ``after``: the i-th atom of the result was the ``order[i]``-th."""

    before: Shape
    atoms: Shape
    order: Order
    after: Shape


class Unfactorable(Exception):  # noqa: N818 - an answer and not an error
    """A reshape that cuts across the axes, or that moves no elements; ``at`` is its place among the steps."""

    def __init__(self, at: int) -> None:
        super().__init__(f"step {at} cuts across the axes")
        self.at = at


def follow(before: Shape, steps: Sequence[Step]) -> Movement:
    """Returns what reshapes and permutations do together.

    Raises:
        Unfactorable: a reshape puts the end of an axis where no factor of the atoms ends, or an axis has length 0.
    """
    if 0 in before:  # any shape without elements can be reshaped to any other: its atoms say nothing
        raise Unfactorable(0)
    sizes: dict[int, int] = {}
    counter = itertools.count()

    def new(size: int) -> int:
        atom = next(counter)
        sizes[atom] = size
        return atom

    axes = [[new(size)] if size != 1 else [] for size in before]
    origin = [atom for axis in axes for atom in axis]
    after = before
    for at, step in enumerate(steps):
        if step.kind == "permute":
            axes = [axes[i] for i in step.values]
            after = tuple(after[i] for i in step.values)
            continue
        flat = [atom for axis in axes for atom in axis]
        axes = []
        for length in step.values:
            axis: list[int] = []
            while length != 1:
                atom = flat.pop(0)
                common = math.gcd(sizes[atom], length)
                if common not in (sizes[atom], length):
                    raise Unfactorable(at)
                if common != sizes[atom]:  # the axis ends inside the atom: cut it, here and where it came from
                    rest = new(sizes[atom] // common)
                    sizes[atom] = common
                    origin.insert(origin.index(atom) + 1, rest)
                    flat.insert(0, rest)
                axis.append(atom)
                length //= common
            axes.append(axis)
        after = step.values
    place = {atom: i for i, atom in enumerate(origin)}
    order = tuple(place[atom] for axis in axes for atom in axis)
    return Movement(before, tuple(sizes[atom] for atom in origin), order, after)


def axes_of(movement: Movement) -> list[Order]:
    """Returns the atoms that each axis of the result consists of; an axis of length 1 has none."""
    rest = list(movement.order)
    axes = []
    for length in movement.after:
        axis: list[int] = []
        while math.prod(movement.atoms[atom] for atom in axis) != length:
            axis.append(rest.pop(0))
        axes.append(tuple(axis))
    return axes


def without(movement: Movement, axis: int, before: Shape) -> Movement:
    """Returns what is left of a movement from ``before``, which lacks the atoms of one axis of the result."""
    gone = axes_of(movement)[axis]
    left = [atom for atom in range(len(movement.atoms)) if atom not in gone]
    return Movement(
        before,
        tuple(movement.atoms[atom] for atom in left),
        tuple(left.index(atom) for atom in movement.order if atom not in gone),
        movement.after[:axis] + movement.after[axis + 1 :],
    )


def fuse(atoms: Shape, order: Order) -> tuple[Shape, Order]:
    """Joins the atoms that stay neighbours; returns the sizes of what moves as one, and its order."""
    runs: list[list[int]] = []
    for atom in order:
        if runs and runs[-1][-1] + 1 == atom:
            runs[-1].append(atom)
        else:
            runs.append([atom])
    ranked = sorted(range(len(runs)), key=lambda i: runs[i][0])
    sizes = tuple(math.prod(atoms[atom] for atom in runs[i]) for i in ranked)
    place = {run: i for i, run in enumerate(ranked)}
    return sizes, tuple(place[i] for i in range(len(runs)))


def plan(movement: Movement, max_rank: int = MAX_RANK) -> list[Step] | None:
    """Returns the fewest permutations, at most two, that make a movement, with reshapes between them.

    None when two permutations of ``max_rank`` axes do not suffice.
    """
    sizes, order = fuse(movement.atoms, movement.order)
    if len(sizes) <= max_rank:
        return _emit(movement.before, sizes, order, movement.after, max_rank)
    middle = _middle(order, max_rank)
    if middle is None:
        return None
    back = {atom: i for i, atom in enumerate(middle)}
    ordered = tuple(sizes[atom] for atom in middle)
    first = fuse(sizes, middle)
    second = fuse(ordered, tuple(back[atom] for atom in order))
    between = second[0]
    return [
        *_emit(movement.before, *first, between, max_rank),
        *_emit(between, *second, movement.after, max_rank),
    ]


@functools.lru_cache(maxsize=256)
def _middle(order: Order, max_rank: int) -> Order | None:
    """Returns the order between two permutations of few axes that moves the fewest axes in all; None if none does."""
    count = len(order)
    best: tuple[int, Order] | None = None
    for middle in _reachable(count, max_rank):
        back = {atom: i for i, atom in enumerate(middle)}
        first = len(fuse((1,) * count, middle)[0])
        second = len(fuse((1,) * count, tuple(back[atom] for atom in order))[0])
        cost = first + second
        if second <= max_rank and (best is None or (cost, middle) < best):
            best = cost, middle
    return best[1] if best else None


def _reachable(count: int, blocks: int) -> Iterator[Order]:
    """Yields every order of ``count`` atoms that moves them in at most ``blocks`` runs."""
    for cuts in itertools.combinations(range(1, count), min(blocks, count) - 1):
        ends = [0, *cuts, count]
        runs = [range(start, end) for start, end in itertools.pairwise(ends)]
        for arrangement in itertools.permutations(runs):
            yield tuple(itertools.chain.from_iterable(arrangement))


def _emit(before: Shape, sizes: Shape, order: Order, after: Shape, max_rank: int) -> list[Step]:
    """Writes one permutation, on the axes of the shape that is wanted or the shape that is there where it can."""
    if list(order) == sorted(order):
        return [Step("reshape", after)] if before != after else []
    moved = tuple(sizes[i] for i in order)
    wanted, given = _group(after, moved, max_rank), _group(before, sizes, max_rank)
    choices = []
    if wanted:
        place = {run: i for i, run in enumerate(order)}
        axes = [axis for run in range(len(sizes)) for axis in wanted[place[run]]]  # of ``after``, as they were
        if len(before) == len(after) and _without_ones(before) == _without_ones(tuple(after[axis] for axis in axes)):
            ones, longer = ([axis for axis in axes if (after[axis] == 1) == is_one] for is_one in (True, False))
            axes = [ones.pop(0) if length == 1 else longer.pop(0) for length in before]
        start = tuple(after[axis] for axis in axes)
        permute = Step("permute", tuple(axes.index(axis) for axis in range(len(after))))
        choices.append([Step("reshape", start), permute] if start != before else [permute])
    if given:
        permutation = tuple(axis for run in order for axis in given[run])
        reached = tuple(before[axis] for axis in permutation)
        permute = Step("permute", permutation)
        choices.append([permute, Step("reshape", after)] if reached != after else [permute])
    choices.append([Step("reshape", sizes), Step("permute", order), Step("reshape", after)])
    return min(choices, key=len)


def _group(shape: Shape, runs: Shape, max_rank: int) -> list[list[int]] | None:
    """Returns the axes of a shape that each run consists of, axes of length 1 with the next; None if it is cut else."""
    if len(shape) > max_rank:
        return None
    groups: list[list[int]] = []
    rest = list(range(len(shape)))
    for run in runs:
        group: list[int] = []
        while math.prod(shape[axis] for axis in group) != run:
            if not rest or run % math.prod(shape[axis] for axis in group):
                return None
            group.append(rest.pop(0))
        groups.append(group)
    return [*groups[:-1], [*groups[-1], *rest]]


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
