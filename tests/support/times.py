"""Given times in the place of measured ones: what a test says of them must not depend on the machine it runs on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import pytest

from mobilevit_deploy.measurement.comparison import alternate
from mobilevit_deploy.measurement.latency import fresh_processes
from mobilevit_deploy.measurement.latency.process import Burst, Session, TimingProcess

FEWEST_RUNS = 3
USUAL_MS = 1.0


class Answers:
    """What the workers of each session say of their artifact: it is loaded and run once, in a process as ever."""

    def __init__(self, run_ms: Mapping[str, float]) -> None:
        self.run_ms = run_ms
        self.processes = 0
        self._known: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def of(self, session: Session) -> tuple[dict[str, Any], dict[str, Any]]:
        key = repr((session, session.path.stat().st_mtime_ns))
        if key not in self._known:
            with TimingProcess(session) as process:
                process.burst(0, 1)
                self._known[key] = process.opened, process.finish()
        return self._known[key]


def given_process(answers: Answers) -> type:
    """Returns what stands for a process whose runs take as long as it was given, and a thousandth more or less."""

    class GivenProcess:
        def __init__(self, session: Session) -> None:
            self.opened, self._last = answers.of(session)
            answers.processes += 1
            level = 1 + 1e-3 * (answers.processes % 5 - 2)
            self._run_ms = level * answers.run_ms.get(session.path.name, USUAL_MS)

        def burst(self, _seconds: float, runs: int) -> Burst:
            count = max(runs, FEWEST_RUNS)
            return Burst((self._run_ms,) * count, 1e-3 * count * self._run_ms)

        def finish(self) -> dict[str, Any]:
            return self._last

        def cpu_seconds(self) -> float:
            return 0.0

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return GivenProcess


@contextmanager
def given_times(run_ms: Mapping[str, float] | None = None) -> Iterator[None]:
    """Lets a run of a file take so many milliseconds, by the file's name; others take one."""
    with pytest.MonkeyPatch.context() as patch:
        process = given_process(Answers(run_ms or {}))
        for module in (alternate, fresh_processes):
            patch.setattr(module, "TimingProcess", process)
        yield
