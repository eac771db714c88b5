"""What a rewrite is, and how each one is proved.

A rewrite matches ATen ops on the captured graph, never class names, so it works on anyone's model. The
graph is rewritten in float64: after each rewrite it runs beside the original, and the largest difference is
the proof. A rewrite that raises, leaves a graph that does not run, or differs by more than ``PROOF_LIMIT`` is taken
back, at the places that are to blame and no others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, module_path
from mobilevit_deploy.graph.replay import default_dtype
from mobilevit_deploy.graph.sample import Sample, in_float64
from mobilevit_deploy.graph.untraceable import reason_of
from mobilevit_deploy.rewrites.proof import KEPT, Proof, Verdict

# Copies that are made of a graph to find the places where one rewrite is wrong; most cost a run in float64. It is
# enough for some five places among a hundred; where it is not, all that is undecided is taken back.
ATTEMPTS = 64


class Refusal(Exception):  # noqa: N818 - a refusal is an answer and not an error
    """Raised by a rewrite, before it edits anything, where the op is its own but the place is not right."""


@dataclass(frozen=True)
class Refused:
    """A place that a rewrite looked at and left alone."""

    at: str
    reason: str


@dataclass(frozen=True)
class TakenBack(Refused):
    """A place that a rewrite got wrong, which is a fault of the rewrite: it raised, or what it wrote is not equal."""


@dataclass(frozen=True)
class RewriteResult:
    """What one rewrite did to one graph; differences in float64, against the graph before any rewrite.

    Attributes:
        name: of the rewrite.
        applied: places that were rewritten and proved.
        refused: places that were left alone, those that were taken back among them.
        max_abs_difference: of the outputs; None where nothing was rewritten.
        max_rel_difference: the same, of the largest output.
    """

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


@dataclass(frozen=True)
class Rewritten:
    """The graph after all rewrites, in float32 again.

    Attributes:
        graph: after them.
        results: what each of them did.
        in_float32: ops that have no float64 kernel: float32 is all that the proofs know of them.
    """

    graph: Graph
    results: tuple[RewriteResult, ...]
    in_float32: tuple[str, ...] = ()


def rewrite_graph(graph: Graph, rewrites: Sequence[Rewrite], sample: Sample) -> Rewritten:
    """Applies rewrites in order and proves each one.

    Args:
        graph: as captured, float32; left as it is.
        rewrites: in the order of application.
        sample: input of the proof, (B, C, H, W) float32, or a tensor for each input.

    Raises:
        Exception: whatever the graph itself raises where it runs neither in float64 nor in float32; never what a
            rewrite raises.
    """
    with default_dtype(torch.float64):  # for what calls such as zeros(1) make without naming a dtype
        current = graph.copy()
        current.cast(torch.float32, torch.float64)
        proof = Proof(current, in_float64(sample))
        results = []
        for rewrite in rewrites:
            current, result = _Search(rewrite, current, proof).run()
            results.append(result)
        for node in current.nodes:
            node.meta.pop(KEPT, None)
        current.cast(torch.float64, torch.float32)
        return Rewritten(current, tuple(results), proof.in_float32)


class _PlaceError(Exception):
    """A rewrite raised at one place; the cause says what."""

    def __init__(self, name: str, at: str) -> None:
        super().__init__(name)
        self.name = name
        self.at = at


@dataclass
class _Attempt:
    """A copy of a graph that a rewrite was applied to; ``applied`` has the name of each node and its place."""

    graph: Graph
    applied: list[tuple[str, str]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class _Search:
    """Applies one rewrite wherever it can be proved: everywhere at once, and where that fails, part by part.

    Every attempt edits a copy, so that nothing is left of one that fails.
    """

    def __init__(self, rewrite: Rewrite, before: Graph, proof: Proof) -> None:
        self._rewrite = rewrite
        self._before = before
        self._proof = proof
        self._best: tuple[_Attempt, Verdict] | None = None
        self._kept: list[str] = []
        self._taken_back: dict[str, TakenBack] = {}
        self._attempts = 0

    def run(self) -> tuple[Graph, RewriteResult]:
        """Returns what is proved, which is the graph before where nothing is, and what was done."""
        refused: list[Refused] = []
        try:
            if any(True for _ in self._rewrite.candidates(self._before)):
                everywhere = self._where_it_does_not_raise()
                refused = everywhere.refused
                self._prove(everywhere)
        except Exception as error:  # of candidates(), or at more places than are looked for
            self._taken_back[""] = TakenBack("whole graph", reason_of(_cause(error)))
        refused += self._taken_back.values()
        if self._best is None:
            return self._before, RewriteResult(self._rewrite.name, (), tuple(refused), None, None)
        attempt, verdict = self._best
        self._before.weights.clear()  # its nodes form cycles, which would hold the memory for long
        applied = tuple(at for _, at in attempt.applied)
        return attempt.graph, RewriteResult(
            self._rewrite.name, applied, tuple(refused), verdict.absolute, verdict.relative
        )

    def _where_it_does_not_raise(self) -> _Attempt:
        while True:
            try:
                return self._attempt(lambda name: name not in self._taken_back)
            except _PlaceError as error:
                if self._attempts >= ATTEMPTS:
                    raise
                self._taken_back[error.name] = TakenBack(error.at, reason_of(_cause(error)))

    def _prove(self, everywhere: _Attempt) -> None:
        if everywhere.applied:
            verdict = self._judge(everywhere)
            if verdict.objection:
                self._divide(everywhere.applied, verdict.objection)

    def _divide(self, places: list[tuple[str, str]], objection: str) -> None:
        """Finds the places that are to blame among those that cannot be proved together with what is kept."""
        if len(places) == 1 or self._attempts >= ATTEMPTS:
            self._taken_back.update({name: TakenBack(at, objection) for name, at in places})
            return
        middle = len(places) // 2
        for half in (places[:middle], places[middle:]):
            wanted = {*self._kept, *(name for name, _ in half)}
            try:
                objection = self._judge(self._attempt(wanted.__contains__)).objection
            except Exception as error:  # without the others, it raises
                objection = reason_of(_cause(error))
            if objection:
                self._divide(half, objection)

    def _attempt(self, wanted: Callable[[str], bool]) -> _Attempt:
        """Rewrites a copy at the wanted places; raises _PlaceError where the rewrite raises."""
        self._attempts += 1
        attempt = _Attempt(self._before.copy())
        for node in self._rewrite.candidates(attempt.graph):
            name, at = node.name, module_path(node) or node.name
            if not wanted(name):
                continue
            try:
                self._rewrite.rewrite(attempt.graph, node)
                attempt.applied.append((name, at))
            except Refusal as refusal:
                attempt.refused.append(Refused(at, str(refusal)))
            except Exception as error:
                attempt.graph.weights.clear()
                raise _PlaceError(name, at) from error
        return attempt

    def _judge(self, attempt: _Attempt) -> Verdict:
        """Proves an attempt, and keeps it where that succeeds."""
        verdict = self._proof.judge(attempt.graph)
        if verdict.objection:
            attempt.graph.weights.clear()
            return verdict
        if self._best:
            self._best[0].graph.weights.clear()
        self._best = attempt, verdict
        self._kept = [name for name, _ in attempt.applied]
        return verdict


def _cause(error: Exception) -> BaseException:
    return error.__cause__ or error if isinstance(error, _PlaceError) else error
