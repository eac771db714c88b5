"""Which candidates are made and measured, and for how long: successive halving, and greedy steps between.

Nothing here exports or looks at a clock: both come from the caller, so that tests give medians and noise of their own.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS
    2016): all candidates get few runs, the better half twice as many, and so on. Here a confidence interval ends a
    candidate earlier where it lies wholly above the best one's.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mobilevit_deploy.measurement.comparison.ratio import Ratio
from mobilevit_deploy.measurement.tuning.space import DEFAULT, Candidate, Change
from mobilevit_deploy.measurement.tuning.trials import Made, Role, Timed, Trials

Progress = Callable[[str], None]
Times = Sequence[Sequence[Sequence[float]]]  # of each file, of each group of processes, of each round, in ms
Measure = Callable[[Sequence[Path], float], Times]  # (files, the default one first; seconds)

TOGETHER = 4  # candidates that take turns with the default one: so many processes are loaded at a time
FIRST_S = 3.0  # of each file's runs in the first round of a halving; the next ones are twice as long
ROUNDS = 3  # of a halving: one more is longer than most searches
CONFIRM_S = 60.0
RESERVE = 0.2  # of the budget, and at most CONFIRM_S, for the measurement by which the best one is judged


class Workshop(Protocol):
    """What makes a candidate's file."""

    def make(self, candidate: Candidate) -> tuple[Made, Path | None]:
        """Returns what became of it, and the file; None for a candidate that cannot win."""

    def open_changes(self, candidate: Candidate, made: Made | None) -> Sequence[Change]:
        """Returns what else can be changed of a candidate that was made."""


class Budget:
    """How much time is left."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds, self._clock, self._begin = seconds, clock, clock()
        self.longest = 0.0  # export so far: the next one takes about as long

    def left(self) -> float:
        """Returns the seconds that are left."""
        return self.seconds - (self._clock() - self._begin)

    def for_search(self) -> float:
        """Returns those of them that are not kept for judging the best one."""
        return self.left() - self.reserve

    @property
    def reserve(self) -> float:
        """Returns the seconds that are kept for judging the best one."""
        return min(RESERVE * self.seconds, CONFIRM_S)

    def now(self) -> float:
        return self._clock()


@dataclass(frozen=True)
class Verdict:
    """The end of a search.

    Attributes:
        fastest: of the candidates that were measured, by the upper end of its interval; None where none was.
        ratio: of its times to the default's.
        confirmed: whether ``ratio`` is of runs that had no part in choosing it.
        complete: whether the budget sufficed for all that was to be tried.
    """

    fastest: Candidate | None
    ratio: Ratio | None
    confirmed: bool
    complete: bool

    @property
    def faster(self) -> bool:
        """Tells whether the fastest candidate is faster than the default recipe beyond its interval."""
        return self.confirmed and self.ratio is not None and self.ratio.ci95[1] < 1

    def conclusion(self) -> str:
        """Returns in words why the default recipe stays."""
        if self.ratio is not None:
            return "the default recipe is as fast as anything tried"
        if self.complete:
            return "nothing was timed: no other file that this recipe leaves open is different, and passes"
        return "nothing was timed: the budget was over before a second file was made"


class Search:
    """One search, whose state is its trials."""

    def __init__(
        self,
        trials: Trials,
        workshop: Workshop,
        measure: Measure,
        budget: Budget,
        seed: int,
        progress: Progress = lambda _stage: None,
    ) -> None:
        """Prepares a search.

        Args:
            trials: what is known already.
            workshop: makes files; the default recipe's is made.
            measure: times files in turns.
            budget: after which nothing new is begun.
            seed: of the order in which candidates are tried, which tells what a short search leaves out.
            progress: called with a line of text now and then.
        """
        self._trials, self._workshop, self._measure = trials, workshop, measure
        self._budget, self._random, self._progress = budget, random.Random(seed), progress
        self._files: dict[Candidate, Path] = {}
        self._tried: dict[Candidate, None] = {}
        self._complete = True

    def begin(self, made: Made, path: Path | None, seconds: float = 0.0) -> None:
        """Takes the default recipe's file, which everything is measured against, and how long it took to make."""
        if path:
            self._files[DEFAULT] = path
        if self._trials.made(DEFAULT) != made:
            self._trials.add_made(made)
        self._budget.longest = max(self._budget.longest, seconds)

    def run(self, precisions: Sequence[Candidate] = ()) -> Verdict:
        """Searches, and judges the best candidate.

        Args:
            precisions: the default recipe in other precisions, those first that are likely to win; the best of them is
                where the search goes on.
        """
        best = self._step(DEFAULT, list(precisions))
        while True:
            changes = self._workshop.open_changes(best, self._trials.made(best))
            singles = [best.plus([change]) for change in changes if change not in best.changes]
            better = self._step(best, [single for single in singles if single not in self._tried], together=True)
            if better == best:
                break
            best = better
        return self._judge(best)

    def best(self) -> tuple[Candidate, Ratio] | None:
        """Returns the candidate that is fastest as far as is known, by the upper end of its interval."""
        known = [(candidate, ratio) for candidate in self._tried if (ratio := self._ratio(candidate))]
        return min(known, key=lambda item: item[1].ci95[1], default=None)

    def standing(self) -> str:
        """Returns in words how far the search came."""
        found = self.best()
        if found is None:
            return "no candidate was timed yet"
        candidate, ratio = found
        nearest = "the default recipe; nearest to it " if ratio.ci95[1] >= 1 else ""
        return f"best so far: {nearest}{candidate}: {said(ratio)}"

    def _step(self, best: Candidate, candidates: list[Candidate], together: bool = False) -> Candidate:
        """Returns the best of candidates; the one before where none of them is faster beyond the intervals.

        With ``together`` their order is of no matter, and all that are faster are also tried at once.
        """
        if together:
            self._random.shuffle(candidates)
        self._halve(candidates)
        faster = sorted((item for item in candidates if self._beats(item, best)), key=self._upper)
        if together and len(faster) > 1:
            union = best.plus(change for item in faster for change in item.changes)
            self._halve([union, faster[0]])
            faster = sorted((item for item in (union, *faster) if self._beats(item, best)), key=self._upper)
        return faster[0] if faster else best

    def _halve(self, candidates: Sequence[Candidate]) -> None:
        """Measures candidates, and the better half of them again and longer."""
        alive = list(candidates)
        for number in range(ROUNDS):
            for begin in range(0, len(alive), TOGETHER):
                self._time([item for item in alive[begin : begin + TOGETHER] if self._passes(item)], number)
            alive = [candidate for candidate in alive if self._trials.turns(candidate) > number]
            limit = min([1.0, *(self._upper(candidate) for candidate in alive)])
            alive = [candidate for candidate in alive if self._lower(candidate) <= limit]
            alive = sorted(alive, key=self._value)[: -(-len(alive) // 2)]
            if len(alive) == 1 and self._upper(alive[0]) < 1:
                return

    def _passes(self, candidate: Candidate) -> bool:
        """Makes a candidate's file unless it is known; tells whether it may win."""
        self._tried[candidate] = None
        made = self._trials.made(candidate)
        if made is None:
            if not self._room(self._budget.longest):
                return False
            made = self._make(candidate)
        return made.refused is None

    def _make(self, candidate: Candidate) -> Made:
        begin = self._budget.now()
        known = self._trials.made(candidate)
        self._progress(f"{'once more' if known else f'trial {len(self._trials.all_made())}'}: {candidate}")
        made, path = self._workshop.make(candidate)
        self._budget.longest = max(self._budget.longest, self._budget.now() - begin)
        if path:
            self._files[candidate] = path
        if made.refused:
            # Said before it is noted: an interruption that a library took for an error of its own ends the search here.
            self._progress(f"left out: {candidate}: {made.refused}")
        if made != known:
            self._trials.add_made(made)
        return made

    def _time(self, candidates: Sequence[Candidate], number: int) -> None:
        """Times candidates in turns with the default recipe's file, but for those that have had this turn."""
        missing = [candidate for candidate in candidates if self._trials.turns(candidate) <= number]
        if not missing or not self._room(0.0):
            return
        missing = [candidate for candidate in missing if self.file(candidate)]
        if not missing:
            return
        seconds = FIRST_S * 2**number * (len(missing) + 1)
        count = "1 file" if len(missing) == 1 else f"{len(missing)} files"
        self._progress(f"timing {count} in turns with the default recipe's, round {number + 1}")
        self._run(missing, seconds, "search")
        self._progress(self.standing())

    def _run(self, candidates: Sequence[Candidate], seconds: float, role: Role) -> None:
        files = [self._files[candidate] for candidate in (DEFAULT, *candidates)]
        default, *others = self._measure(files, seconds)
        for candidate, times in zip(candidates, others, strict=True):
            made = self._trials.made(candidate)
            assert made is not None
            self._trials.add_timed(
                Timed(role=role, changes=candidate.names, sha256=made.sha256, default_ms=default, ms=times)
            )

    def file(self, candidate: Candidate) -> Path | None:
        """Returns a candidate's file; one of an earlier run is made again, or taken from the kept exports.

        None where that fails now.
        """
        if candidate not in self._files:
            self._make(candidate)
        return self._files.get(candidate)

    def _judge(self, best: Candidate) -> Verdict:
        """Measures the best candidate anew, or where none was clearly faster the one that may be."""
        found = self.best()
        if found is None:
            return Verdict(None, None, False, self._complete)
        candidate, ratio = found
        if best != DEFAULT:
            candidate = best
        elif ratio.value >= 1:
            return Verdict(candidate, ratio, False, self._complete)
        if not self._trials.turns(candidate, "confirm"):
            if self.file(candidate) is None:
                return Verdict(candidate, ratio, False, False)
            self._progress(f"timing {candidate} once more: runs by which it was not chosen")
            self._run([candidate], min(CONFIRM_S, max(self._budget.left(), self._budget.reserve)), "confirm")
        return Verdict(candidate, self._trials.ratio(candidate.names, "confirm"), True, self._complete)

    def _room(self, seconds: float) -> bool:
        """Tells whether so much time is left; from then on the search is not complete."""
        enough = self._budget.for_search() > seconds
        self._complete &= enough
        return enough

    def _beats(self, candidate: Candidate, best: Candidate) -> bool:
        ratio = self._ratio(candidate)
        return ratio is not None and ratio.ci95[1] < (1.0 if best == DEFAULT else self._lower(best))

    def _ratio(self, candidate: Candidate) -> Ratio | None:
        made = self._trials.made(candidate)
        return None if made is None or made.refused else self._trials.ratio(candidate.names)

    def _value(self, candidate: Candidate) -> float:
        ratio = self._ratio(candidate)
        return ratio.value if ratio else float("inf")

    def _lower(self, candidate: Candidate) -> float:
        ratio = self._ratio(candidate)
        return ratio.ci95[0] if ratio else float("inf")

    def _upper(self, candidate: Candidate) -> float:
        ratio = self._ratio(candidate)
        return ratio.ci95[1] if ratio else float("inf")


def said(ratio: Ratio) -> str:
    """Returns a ratio and its 95 % interval in words."""
    return f"{ratio.value:.3f} of the default recipe's time (interval {ratio.ci95[0]:.3f} to {ratio.ci95[1]:.3f})"
