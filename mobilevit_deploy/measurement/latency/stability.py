"""Whether the machine was quiet enough for a latency to be cited."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import psutil

from mobilevit_deploy.measurement.latency.process import Burst
from mobilevit_deploy.measurement.latency.sampling import PRECISION
from mobilevit_deploy.measurement.latency.statistics import Statistics

# Each limit lies between what was seen on a quiet machine and on one that was not; docs/background/latency.md has the
# figures.
DRIFT_LIMIT = 0.05
OTHERS_LIMIT = 0.10  # of the cores that this process may use; an idle desktop shows 1 to 5 %
STEAL_LIMIT = 0.01  # of the time of these cores
WAITING_LIMIT = 0.02  # of the time that the threads ran
SWITCHES_LIMIT = 30  # per second and thread; with another process on the core it is 80 and more, with none below 10


@dataclass(frozen=True)
class Conditions:
    """What else happened on the machine while an artifact was timed.

    Attributes:
        cores: that this process may use.
        others_share: of these cores' time, what other processes took.
        steal_share: of these cores' time, what the host of a virtual machine took.
        waiting_share: of the time of the artifact's threads, what they waited for a core; None where unknown.
        switches_per_s: per thread, how often one was taken off its core; None where unknown.
    """

    cores: int
    others_share: float
    steal_share: float
    waiting_share: float | None
    switches_per_s: float | None


@dataclass(frozen=True)
class _Usage:
    """Seconds that the cores which this process may use were busy, and were stolen, since the machine started."""

    busy_s: float
    steal_s: float

    @classmethod
    def read(cls) -> Self:
        cores = psutil.cpu_times(percpu=True)
        chosen = [cores[i] for i in allowed_cores() if i < len(cores)]
        return cls(sum(map(_busy, chosen)), sum(float(getattr(core, "steal", 0.0)) for core in chosen))


def allowed_cores() -> list[int]:
    """Returns the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _busy(core: Any) -> float:
    """Returns a core's seconds of work; a guest's are in ``user`` already."""
    names = ("user", "nice", "system", "irq", "softirq")
    return float(sum(getattr(core, name, 0.0) for name in names))


class Watch:
    """Compares the machine at two moments."""

    def __init__(self, own_cpu_seconds: Callable[[], float], clock: Callable[[], float]) -> None:
        """Begins to watch.

        Args:
            own_cpu_seconds: CPU time that the measurement itself has used: the artifact's process and this one.
            clock: in seconds.
        """
        self._own, self._clock = own_cpu_seconds, clock
        self._begin = clock()
        self._usage, self._own_before = _Usage.read(), own_cpu_seconds()

    def conditions(self, bursts: Sequence[Burst], threads: int) -> Conditions:
        """Returns what happened since, on the machine and to the bursts' own threads."""
        usage, own = _Usage.read(), self._own() - self._own_before
        cores = len(allowed_cores())
        available_s = max(self._clock() - self._begin, 1e-9) * cores
        running_s = sum(burst.wall_s for burst in bursts) * threads
        waited = [burst.waiting_s for burst in bursts if burst.waiting_s is not None]
        switches = [burst.involuntary_switches for burst in bursts if burst.involuntary_switches is not None]
        return Conditions(
            cores=cores,
            # The system counts in ticks of 10 ms, so the difference may be a little below zero.
            others_share=max(0.0, usage.busy_s - self._usage.busy_s - own) / available_s,
            steal_share=(usage.steal_s - self._usage.steal_s) / available_s,
            waiting_share=sum(waited) / running_s if waited else None,
            switches_per_s=sum(switches) / running_s if switches else None,
        )


def mean_conditions(conditions: Sequence[Conditions]) -> Conditions:
    """Returns the conditions over several measurements that took about the same time each."""

    def average(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return Conditions(
        cores=conditions[0].cores,
        others_share=average([item.others_share for item in conditions]) or 0.0,
        steal_share=average([item.steal_share for item in conditions]) or 0.0,
        waiting_share=average([item.waiting_share for item in conditions]),
        switches_per_s=average([item.switches_per_s for item in conditions]),
    )


def doubts(statistics: Statistics, settled: bool, conditions: Conditions, threads: int) -> tuple[str, ...]:
    """Returns every reason not to cite the figures; none makes them stable."""
    found, cores = [], conditions.cores
    if threads > cores:
        found.append(f"{threads} threads on {cores} available cores: they wait for each other, so this is slower")
    if not settled:
        found.append("in most processes the warm-up did not settle: give more time with --seconds")
    if not statistics.precision <= PRECISION:  # NaN too
        found.append(
            f"the median may be off by {statistics.precision:.1%}, and {PRECISION:.0%} is asked of it: "
            "give more time with --seconds, or a quieter machine"
        )
    if statistics.drift > DRIFT_LIMIT:
        found.append(
            f"the medians of the run's thirds lie {statistics.drift:.0%} apart: the machine is busy or throttling"
        )
    if conditions.others_share > OTHERS_LIMIT:
        found.append(f"other processes took {conditions.others_share:.0%} of the {cores} cores meanwhile")
    if conditions.steal_share > STEAL_LIMIT:
        found.append(f"the host of this virtual machine took {conditions.steal_share:.1%} of its time (steal)")
    return (*found, *_disturbances(conditions))


def _disturbances(conditions: Conditions) -> list[str]:
    """Returns what the artifact's own threads suffered."""
    found = []
    if conditions.waiting_share is not None and conditions.waiting_share > WAITING_LIMIT:
        found.append(f"its threads waited {conditions.waiting_share:.0%} of the time for a core")
    if conditions.switches_per_s is not None and conditions.switches_per_s > SWITCHES_LIMIT:
        found.append(f"its threads were taken off their cores {conditions.switches_per_s:.0f} times a second")
    return found
