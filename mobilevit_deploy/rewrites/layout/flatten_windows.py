"""Writes chains of reshapes and permutations with as few permutations as can be, of at most five axes each.

::

    reshape (B, 2, 7, 2, 7, C), permute (0, 1, 3, 2, 4, 5), reshape (4 B, 49, C)
        ->   reshape (2 B, 7, 2, 7 C), permute (0, 2, 1, 3), reshape (4 B, 49, C)
    transpose(transpose(x, 1, 2), 1, 2)   ->   x

Axes that stay neighbours move as one, and axes of length 1 do not count. What is left above five axes is
done in two permutations.

Why it hurts: windows are written with six or seven axes. The Neural Engine takes five; beyond that Core ML
leaves it or refuses. Each permutation copies the tensor once, and over fewer, longer axes in longer runs; on ONNX
Runtime the time is the same (lightvit_tiny: 1.00, 0.97 to 1.05 in seven alternating pairs, one thread).
"""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import MAX_RANK, Shape, Step, Unfactorable, follow, plan
from mobilevit_deploy.graph.graph import Graph, is_call, op_name, readers, shape
from mobilevit_deploy.graph.movement_chains import PERMUTATIONS, RESHAPES, moves, step_of, write_steps
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite


class FlattenWindows(Rewrite):
    """``reshape``, ``permute``, ``reshape``; a second ``permute`` only where one does not suffice."""

    name: ClassVar[str] = "flatten_windows"
    source: ClassVar[str] = "Apple's rules for the Neural Engine: tensors of rank 5 at most, few transpositions"
    highest_rank: ClassVar[int] = MAX_RANK

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(*RESHAPES, *PERMUTATIONS):
            if _ends(node, self.highest_rank):
                first, steps = _chain(node, self.highest_rank)
                new = _rewritten(shape(first), steps, self.highest_rank)
                if _rank(steps) > self.highest_rank or _cost(new) < _cost(steps):
                    yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        if len(shape(node)) > self.highest_rank:
            names = ", ".join(sorted({op_name(reader) or "the output" for reader in readers(node)}))
            raise Refusal(f"a tensor of {len(shape(node))} axes is read by {names}")
        first, steps = _chain(node, self.highest_rank)
        new = _rewritten(shape(first), steps, self.highest_rank)
        if new is None:
            raise Refusal(
                f"two permutations of {self.highest_rank} axes do not reach {shape(node)} from {shape(first)}"
            )
        with graph.before(node):
            moved = write_steps(graph, first, new, like=node)
        graph.replace(node, moved)


def _ends(node: Node, highest: int) -> bool:
    """Tells whether a chain ends here: something reads it that moves no elements, or several read a permutation.

    A permutation of too many axes is copied for each of its readers.
    """
    others = readers(node)
    if not moves(node) or not others:
        return False
    is_shared = is_call(node, *PERMUTATIONS) and len(others) > 1 and len(shape(node)) <= highest
    return not all(moves(reader) for reader in others) or is_shared


def _chain(node: Node, highest: int) -> tuple[Node, list[Step]]:
    """Returns the tensor that a chain moves, and its steps; a reshape with other readers is copied into the chain."""
    steps = [step_of(node)]
    first: Node = node.args[0]  # type: ignore[assignment]  # the first argument of each of these ops is a tensor
    while moves(first) and not _ends(first, highest):
        steps.insert(0, step_of(first))
        first = first.args[0]  # type: ignore[assignment]  # as above
    return first, steps


def _rank(steps: Sequence[Step]) -> int:
    return max(len(step.values) for step in steps)


def _cost(steps: Sequence[Step] | None) -> tuple[float, float]:
    """Returns the number of permutations, then of all steps."""
    if steps is None:
        return float("inf"), float("inf")
    return sum(step.kind == "permute" for step in steps), len(steps)


def _rewritten(before: Shape, steps: Sequence[Step], highest: int) -> list[Step] | None:
    """Returns steps of few axes that do the same: those of the whole chain, or else of its parts one by one."""
    whole = None
    try:
        whole = plan(follow(before, steps), highest)
        at = _second_permutation(steps)
        if (whole is not None and _cost(whole) <= _cost(steps)) or at == len(steps):
            return whole
        between = _shape_after(before, steps[:at])
        rest = [Step("reshape", between), *steps[at:]]
    except Unfactorable as error:
        at, between, rest = error.at, (math.prod(before),), list(steps[error.at :])
    if len(between) > highest:
        between = (math.prod(before),)  # to be cut anew, as a row of elements
    first = _rewritten(before, [*steps[:at], Step("reshape", between)], highest)
    second = _rewritten(between, rest, highest)
    if first is None or second is None:
        return whole
    parts = _join(first, second)
    return parts if whole is None or _cost(parts) < _cost(whole) else whole


def _second_permutation(steps: Sequence[Step]) -> int:
    """Returns where the second permutation stands, or the end."""
    places = [i for i, step in enumerate(steps) if step.kind == "permute"]
    return places[1] if len(places) > 1 else len(steps)


def _shape_after(before: Shape, steps: Sequence[Step]) -> Shape:
    for step in steps:
        before = step.values if step.kind == "reshape" else tuple(before[i] for i in step.values)
    return before


def _join(first: list[Step], second: list[Step]) -> list[Step]:
    """Returns both one after the other; of two reshapes that meet the second does for both."""
    if first and second and first[-1].kind == second[0].kind == "reshape":
        first = first[:-1]
    return [*first, *second]
