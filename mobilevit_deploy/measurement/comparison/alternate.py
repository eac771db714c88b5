"""Timing artifacts in turns, so that what the machine does meanwhile happens to all of them."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from mobilevit_deploy.measurement.comparison.ratio import FEWEST_GROUPS, Ratio, paired_ratio
from mobilevit_deploy.measurement.latency.process import Session, TimingProcess
from mobilevit_deploy.measurement.latency.sampling import warm_up
from mobilevit_deploy.measurement.latency.stability import Conditions, Watch, mean_conditions

ROUNDS = 6  # of one group of processes
BURST_S = 0.1  # and less where the time limit is short, as the warm-up
FEWEST_RUNS = 3
WARMUP_S = 1.0  # at most; less when it has settled
PRECISION = 0.01  # of the ratio; then no more groups are needed
GROUPS_BEFORE_A_VERDICT = 8


@dataclass(frozen=True)
class Alternated:
    """Times of several artifacts.

    Attributes:
        times_ms: of each artifact, of each group of processes, the median of each round.
        conditions: what else happened on the machine meanwhile.
    """

    times_ms: tuple[tuple[tuple[float, ...], ...], ...]
    conditions: Conditions

    def ratio(self, index: int) -> Ratio:
        """Returns an artifact's times over the first one's."""
        return paired_ratio(self.times_ms[0], self.times_ms[index])

    def p50_ms(self, index: int) -> float:
        """Returns the median of an artifact's rounds."""
        return float(np.median(np.concatenate(self.times_ms[index])))


def alternate(sessions: Sequence[Session], seconds: float) -> Alternated:
    """Times artifacts in turns until every ratio is known to 1 %, or the time is over.

    Each group starts one process per artifact. They are warm and asleep but for the one whose turn it is; every second
    round goes backwards, so that a steady change of the machine's speed cancels.

    Args:
        sessions: the artifacts, the base first.
        seconds: time limit; at least six groups are measured.

    Raises:
        MeasurementError: a process failed or hung.
    """
    begin = time.perf_counter()
    times: list[list[tuple[float, ...]]] = [[] for _ in sessions]
    conditions: list[Conditions] = []
    group_s = seconds / (2 * FEWEST_GROUPS)  # the other half is for starting processes
    while True:
        group, found = _group(sessions, min(WARMUP_S, group_s), min(BURST_S, group_s / ROUNDS))
        for column, values in zip(times, group, strict=True):
            column.append(values)
        conditions.append(found)
        if suffices(times, over=time.perf_counter() - begin >= seconds):
            return Alternated(tuple(map(tuple, times)), mean_conditions(conditions))


def suffices(times_ms: Sequence[Sequence[Sequence[float]]], *, over: bool) -> bool:
    """Tells whether enough groups were timed: so many that each ratio is known to 1 %, or the time is over.

    Args:
        times_ms: of each artifact, the base first, of each group, of each round.
        over: whether the time limit is.
    """
    base, *others = times_ms
    if len(base) < (FEWEST_GROUPS if over else GROUPS_BEFORE_A_VERDICT):
        return False
    return over or all(paired_ratio(base, other).precision <= PRECISION for other in others)


def _group(sessions: Sequence[Session], warmup_s: float, burst_s: float) -> tuple[list[tuple[float, ...]], Conditions]:
    """Returns each artifact's median of each round, all in the same processes."""
    with ExitStack() as stack:
        processes = [stack.enter_context(TimingProcess(session)) for session in sessions]
        for process in processes:
            warm_up(process.burst, warmup_s)
        watch = Watch(lambda: time.process_time() + sum(item.cpu_seconds() for item in processes), time.perf_counter)
        medians: list[list[float]] = [[] for _ in sessions]
        bursts = []
        for number in range(ROUNDS):
            turns = list(zip(processes, medians, strict=True))
            for process, column in turns if number % 2 == 0 else reversed(turns):
                burst = process.burst(burst_s, FEWEST_RUNS)
                bursts.append(burst)
                column.append(float(np.median(burst.samples_ms)))
        return [tuple(column) for column in medians], watch.conditions(bursts, sessions[0].threads)
