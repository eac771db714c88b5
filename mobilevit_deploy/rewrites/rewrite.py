"""What a rewrite is, and how each one is proved.

A rewrite matches ATen ops on the captured graph, never class names, so it works on anyone's model. The
graph is rewritten in float64: after each rewrite it runs beside the original, and the largest difference is
the proof. A rewrite whose difference is above ``PROOF_LIMIT`` is taken back and reported as refused.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, module_path

# float64 keeps 53 bits, 1.1e-16; folding reorders sums of some thousand terms over some hundred layers, which costs
# 1e-15 to 1e-13 of the largest output (measured), and a wrong constant in any layer costs 1e-8 and more.
PROOF_LIMIT = 1e-12


class Refusal(Exception):  # noqa: N818 - a refusal is an answer and not an error
    """Raised by a rewrite, before it edits anything, where the op is its own but the place is not right."""


@dataclass(frozen=True)
class Refused:
    """A place that a rewrite looked at and left alone."""

    at: str
    reason: str


@dataclass(frozen=True)
class RewriteResult:
    """What one rewrite did to one graph; differences in float64, against the graph before any rewrite."""

    name: str
    applied: tuple[str, ...]
    refused: tuple[Refused, ...]
    max_abs_difference: float | None
    max_rel_difference: float | None


class Rewrite(ABC):
    """One rewrite of the graph; a file in ``rewrites/`` each.

    Attributes:
        name: verb and noun; the file's name.
        exact: whether the result is equal in exact arithmetic.
        source: the document or measurement that it rests on.
        runs_before: of a rewrite that another package adds, the one of ``order.REWRITES`` in front of which it runs;
            empty for after all of them.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = True
    source: ClassVar[str]
    runs_before: ClassVar[str] = ""

    @abstractmethod
    def candidates(self, graph: Graph) -> Iterable[Node]:
        """Yields the nodes that the rewrite is about."""

    @abstractmethod
    def rewrite(self, graph: Graph, node: Node) -> None:
        """Rewrites one candidate, or raises Refusal before it edits anything."""

    def apply(self, graph: Graph) -> tuple[tuple[str, ...], tuple[Refused, ...]]:
        """Rewrites every candidate; returns the places done and the places refused."""
        applied: list[str] = []
        refused: list[Refused] = []
        for node in self.candidates(graph):
            at = module_path(node) or node.name
            try:
                self.rewrite(graph, node)
                applied.append(at)
            except Refusal as refusal:
                refused.append(Refused(at, str(refusal)))
        if applied:
            graph.graph.lint()
            graph.remove_dead()
        return tuple(applied), tuple(refused)


@dataclass(frozen=True)
class Rewritten:
    """The graph after all rewrites, in float32 again, and what each of them did."""

    graph: Graph
    results: tuple[RewriteResult, ...]


def rewrite_graph(graph: Graph, rewrites: Sequence[Rewrite], sample: Tensor) -> Rewritten:
    """Applies rewrites in order and proves each one.

    Args:
        graph: as captured, float32; left as it is.
        rewrites: in the order of application.
        sample: input of the proof, (B, C, H, W) float32.

    Raises:
        Exception: whatever the graph raises when it cannot run in float64.
    """
    with default_dtype(torch.float64):  # for what calls such as zeros(1) make without naming a dtype
        return _rewrite(graph, rewrites, sample)


def _rewrite(graph: Graph, rewrites: Sequence[Rewrite], sample: Tensor) -> Rewritten:
    current = graph.copy()
    current.cast(torch.float32, torch.float64)
    sample = sample.double()
    reference = current.run(sample)
    results = []
    for rewrite in rewrites:
        if not any(True for _ in rewrite.candidates(current)):
            results.append(RewriteResult(rewrite.name, (), (), None, None))
            continue
        attempt = current.copy()
        applied, refused = rewrite.apply(attempt)
        absolute = relative = None
        if applied:
            absolute, relative = largest_difference(reference, attempt.run(sample))
            if relative <= PROOF_LIMIT:
                current, attempt = attempt, current
            else:
                applied = ()
                reason = f"not proved: differs by {relative:.1e} of the largest output, above {PROOF_LIMIT:.0e}"
                refused = (*refused, Refused("whole graph", reason))
        attempt.weights.clear()  # the one not kept; its nodes form cycles, which would hold the memory for long
        results.append(RewriteResult(rewrite.name, applied, refused, absolute, relative))
    current.cast(torch.float64, torch.float32)
    return Rewritten(current, tuple(results))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Makes calls that name no dtype, such as ``torch.zeros(1)``, take this one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def largest_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> tuple[float, float]:
    """Returns the largest difference, absolute and relative to the largest expected value of its output.

    Outputs of other shapes, and NaN in one where the other has a number, count as infinitely different.
    """
    if [item.shape for item in expected] != [item.shape for item in found]:
        return float("inf"), float("inf")
    absolute = relative = 0.0
    for before, after in zip(expected, found, strict=True):
        if not before.numel():
            continue
        difference = (before - after).abs().max().item()
        scale = before.abs().max().item()
        if difference != difference:  # NaN
            return float("inf"), float("inf")
        absolute = max(absolute, difference)
        relative = max(relative, difference / scale if scale else difference)
    return absolute, relative
