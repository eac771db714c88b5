"""The one place where a search's files are not made and not timed: each change has an effect that the test gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mobilevit_deploy.measurement.tuning.search import Budget, Search, Times, Verdict
from mobilevit_deploy.measurement.tuning.space import DEFAULT, Candidate, Change
from mobilevit_deploy.measurement.tuning.trials import Made, Trials

GROUPS, ROUNDS = 6, 3
EXPORT_S = 10.0
BASE_MS = 5.0


def change(name: str) -> Change:
    """Returns a change; of a precision where the name is one."""
    return Change("precision" if name.startswith(("int", "w")) else "leave_out", name)


@dataclass
class Bench:
    """Makes and times candidates without either: their time is the product of their changes' effects.

    Attributes:
        effects: of each change, on the time; those of ``change`` by name.
        noise: standard deviation of a group's log ratio.
        refused: changes with which no candidate may win, and why.
        seed: of the noise, which is the same whoever else is timed, and another one in each turn.
    """

    effects: Mapping[str, float]
    noise: float = 0.0
    refused: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    clock_s: float = 0.0
    made: list[Candidate] = field(default_factory=list)
    turns: dict[Candidate, int] = field(default_factory=dict)
    calls: int = 0
    interrupted_at: int | None = None

    def now(self) -> float:
        return self.clock_s

    def true_ratio(self, candidate: Candidate) -> float:
        return float(np.prod([self.effects[item.name] for item in candidate.changes]))

    def make(self, candidate: Candidate) -> tuple[Made, Path | None]:
        self.clock_s += EXPORT_S
        self.made.append(candidate)
        reasons = [self.refused[item.name] for item in candidate.changes if item.name in self.refused]
        if reasons:
            return Made(changes=candidate.names, refused=reasons[0]), None
        return Made(changes=candidate.names, sha256=f"{len(candidate.names):064x}", bytes=1000), self.path(candidate)

    def path(self, candidate: Candidate) -> Path:
        return Path("+".join(sorted(item.name for item in candidate.changes)) or "default")

    def candidate(self, path: Path) -> Candidate:
        return DEFAULT if path.name == "default" else Candidate(frozenset(map(change, path.name.split("+"))))

    def open_changes(self, _candidate: Candidate, _made: Made | None) -> Sequence[Change]:
        return [item for item in map(change, self.effects) if item.kind != "precision"]

    def measure(self, paths: Sequence[Path], seconds: float) -> Times:
        self.calls += 1
        if self.calls == self.interrupted_at:
            raise KeyboardInterrupt
        self.clock_s += max(seconds, 1.0)
        return [self._times(self.candidate(path)) for path in paths]

    def _times(self, candidate: Candidate) -> list[tuple[float, ...]]:
        turn = self.turns[candidate] = self.turns.get(candidate, 0) + 1
        key = [self.seed, turn, *map(ord, str(candidate))]
        noise = 0.0 if candidate == DEFAULT else self.noise
        levels = np.exp(np.random.default_rng(key).normal(0.0, noise, GROUPS))
        return [(BASE_MS * self.true_ratio(candidate) * float(level),) * ROUNDS for level in levels]

    def search(
        self,
        folder: Path,
        budget_s: float = 1e9,
        seed: int = 0,
        precisions: Sequence[str] = (),
        progress: Callable[[str], None] = lambda _stage: None,
    ) -> Verdict:
        """Runs a search from its begin, or goes on with the one in the folder."""
        budget = Budget(budget_s, self.now)
        self.trials = Trials(folder / "trials.jsonl", {"seed": seed})
        search = Search(self.trials, self, self.measure, budget, seed, progress)
        made, path = self.make(DEFAULT)
        search.begin(made, path, EXPORT_S)
        return search.run([Candidate(frozenset([change(name)])) for name in precisions])
