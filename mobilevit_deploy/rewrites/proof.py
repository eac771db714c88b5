"""The proof of a rewrite: the graph before any rewrite and the graph after it, side by side in float64.

A value that is coarser than float64 wherever it is computed (an op without a float64 kernel, a cast to half precision)
would turn a difference of the sixteenth digit into one of its own last digit, and all that follows would inherit it. So
what the graph before rewriting computed there is kept. Whatever reads it after a rewrite reads what was kept, and the
value itself is held to its own precision.

So it is with what is decided in the middle of a graph, as the boxes that a first stage proposes to a second: the
sixteenth digit turns one of two equal scores, and then all that follows is of other boxes. There what the decision
reads is compared, and what it decided before is what follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.graph.graph import Graph, op_name
from mobilevit_deploy.graph.replay import Replay
from mobilevit_deploy.graph.sample import Sample
from mobilevit_deploy.graph.untraceable import reason_of

# float64 keeps 53 bits, 1.1e-16; folding reorders sums of some thousand terms over some hundred layers, which costs
# 1e-15 to 1e-13 of the largest output (measured), and a wrong constant in any layer costs 1e-8 and more.
PROOF_LIMIT = 1e-12
# Of a graph that lost an op without a float64 kernel to a rewrite: 6e-8 where it was, and what later layers make of it.
FLOAT32_LIMIT = 1e-5
# Of a kept value, in units of its dtype's last digit: its inputs differ in the sixteenth digit of float64, which may
# round each of them to the neighbour.
LAST_DIGITS = 8
# Ops that decide by numbers, as a place in an order; of these what they read is compared, and not what they return.
DECISIONS = (SUPPRESS,)
KEPT = "kept"  # in a node's meta: the place of its value among those that are kept; copies of the graph keep it


@dataclass(frozen=True)
class Verdict:
    """What came of comparing a graph with the one before any rewrite.

    Attributes:
        absolute: the largest difference of an output; infinite where they cannot be compared.
        relative: the same, of the largest output.
        objection: why it is not proved; empty where it is.
    """

    absolute: float
    relative: float
    objection: str = ""


class Proof:
    """A graph before any rewrite, in float64, that others are compared with.

    Attributes:
        in_float32: the ops that have no float64 kernel here, and whose share of every proof is float32's.
    """

    def __init__(self, graph: Graph, sample: Sample) -> None:
        """Runs the graph once.

        Args:
            graph: in float64; nodes whose value is kept are marked.
            sample: (B, C, H, W) float64, or a tensor for each input.

        Raises:
            Exception: whatever an op raises that runs neither in float64 nor in float32.
        """
        self._sample = sample
        self._kept: list[Any] = []
        self._read: dict[int, list[Any]] = {}  # by the place among the kept, what a decision read
        read = _read_by_decisions(graph)
        values: dict[Node, Any] = {}

        def keep(node: Node, value: object) -> None:
            if node in read:
                values[node] = value
            if node.target in DECISIONS:
                self._read[len(self._kept)] = [values[item] for item in node.all_input_nodes if item in values]
            if node.target in DECISIONS or node in replay.in_float32 or _precision(value) is not None:
                node.meta[KEPT] = len(self._kept)
                self._kept.append(value)

        replay = Replay(graph.graph, graph.weights, keep)
        self._reference = replay.outputs(sample)
        self._in_float32 = {node.meta[KEPT] for node in replay.in_float32}
        self.in_float32 = tuple(dict.fromkeys(op_name(node) for node in replay.in_float32))

    def judge(self, graph: Graph) -> Verdict:
        """Compares a rewritten copy of the graph; raises nothing, for what a rewrite may leave behind has no bounds."""
        given: dict[Node, Any] = {}
        objections: list[str] = []
        before_decisions: list[Tensor] = []
        after_decisions: list[Tensor] = []
        values: dict[Node, Any] = {}

        def compare(node: Node, value: object) -> None:
            if node in read:
                values[node] = value
            if node.target in DECISIONS:
                before_decisions.extend(self._read.get(node.meta.get(KEPT, -1), ()))
                after_decisions.extend(values[item] for item in node.all_input_nodes if item in values)
            elif node in given:
                objections.extend(self._objection(node, given[node], value))

        try:
            graph.graph.lint()
            graph.remove_dead()
            read = _read_by_decisions(graph)
            given.update({node: self._kept[node.meta[KEPT]] for node in graph.nodes if KEPT in node.meta})
            found = Replay(graph.graph, graph.weights, compare, given).outputs(self._sample)
            absolute, relative = largest_difference([*self._reference, *before_decisions], [*found, *after_decisions])
        except Exception as error:
            return Verdict(float("inf"), float("inf"), f"not proved: the graph does not run: {reason_of(error)}")
        before, after = _forms(self._reference), _forms(found)
        if before != after:
            objections.append(f"not proved: the outputs were {before}, and are {after}")
        lost = self._in_float32 - {node.meta[KEPT] for node in given}
        limit = FLOAT32_LIMIT if lost else PROOF_LIMIT
        if not relative <= limit:
            objections.append(f"not proved: differs by {relative:.1e} of the largest output, above {limit:.0e}")
        return Verdict(absolute, relative, objections[0] if objections else "")

    def _objection(self, node: Node, before: Any, after: object) -> list[str]:
        """Returns what is wrong with a value that was kept; nothing where it is as near as its own precision asks."""
        precision = _precision(before) or torch.finfo(torch.float32).eps
        _, relative = largest_difference(*(_tensors(value) for value in (before, after)))
        if relative <= LAST_DIGITS * precision:
            return []
        return [f"not proved: {op_name(node)} differs by {relative:.1e} of its largest value"]


def _read_by_decisions(graph: Graph) -> set[Node]:
    return {item for node in graph.nodes if node.target in DECISIONS for item in node.all_input_nodes}


def largest_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> tuple[float, float]:
    """Returns the largest difference, absolute and relative to the largest expected value of its output.

    Outputs of other shapes, and NaN in one where the other has a number, count as infinitely different.
    """
    if [item.shape for item in expected] != [item.shape for item in found]:
        return float("inf"), float("inf")
    absolute = relative = 0.0
    for before, after in zip(map(_exact, expected), map(_exact, found), strict=True):
        if not before.numel():
            continue
        difference = (before - after).abs().max().item()
        scale = before.abs().max().item()
        if difference != difference:  # NaN
            return float("inf"), float("inf")
        absolute = max(absolute, difference)
        relative = max(relative, difference / scale if scale else difference)
    return absolute, relative


def _forms(outputs: Sequence[Tensor]) -> str:
    return ", ".join(f"{str(item.dtype).removeprefix('torch.')} {tuple(item.shape)}" for item in outputs)


def _exact(value: Tensor) -> Tensor:
    """Returns a tensor that can be subtracted: truth values have no difference, and half precision rounds it."""
    return value if value.is_complex() else value.double()


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _precision(value: object) -> float | None:
    """Returns the last digit of a value that is coarser than float64; None where none is."""
    digits = [torch.finfo(leaf.dtype).eps for leaf in _tensors(value) if leaf.is_floating_point()]
    return max((digit for digit in digits if digit > torch.finfo(torch.float64).eps), default=None)
