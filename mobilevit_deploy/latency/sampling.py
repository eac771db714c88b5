"""When a measurement has warmed up, and when it has seen enough; time comes from the caller, so tests need none."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mobilevit_deploy.latency.process import Burst
from mobilevit_deploy.latency.statistics import FEWEST_BLOCKS, summarise

TakeBurst = Callable[[float, int], Burst]  # (seconds, fewest runs) -> runs
Clock = Callable[[], float]

BURST_S = 0.25  # 10 to 30 runs of a model for phones; long beside a time slice of the scheduler, 3 to 10 ms
FEWEST_RUNS = 3  # of a burst, so that one disturbed run does not move its median
# An interval that is narrow by chance ends a run too early; with twelve bursts that is rare (see docs/latency.md).
BURSTS_BEFORE_A_VERDICT = 12
PRECISION = 0.02  # both ends of the 95 % interval lie within 2 % of the median
WARMUP_SETTLED = 0.03  # the medians of two neighbouring bursts differ by less: caches, clocks and threads are warm
MOST_WARMUP_SHARE = 1 / 3  # of the time limit


@dataclass(frozen=True)
class Warmup:
    """Runs that were not counted; ``settled`` tells whether their times had stopped falling."""

    runs: int
    settled: bool


def burst_seconds(limit_s: float) -> float:
    """Returns how long a burst takes, so that enough of them fit into the time limit."""
    return min(BURST_S, limit_s / BURSTS_BEFORE_A_VERDICT)


def warm_up(take: TakeBurst, limit_s: float, clock: Clock = time.perf_counter) -> Warmup:
    """Runs until two neighbouring bursts agree, or a third of the time limit is over.

    Args:
        take: runs the artifact.
        limit_s: of the measurement that follows.
        clock: in seconds.
    """
    end = clock() + limit_s * MOST_WARMUP_SHARE
    runs, settled, previous = 0, False, float("inf")
    while not settled and (runs == 0 or clock() < end):
        burst = take(burst_seconds(limit_s), FEWEST_RUNS)
        runs += len(burst.samples_ms)
        median = float(np.median(burst.samples_ms))
        settled = abs(median / previous - 1) < WARMUP_SETTLED
        previous = median
    return Warmup(runs, settled)


def collect(take: TakeBurst, limit_s: float, clock: Clock = time.perf_counter) -> list[Burst]:
    """Runs until the interval of the median is within 2 %, or the time limit is over.

    It takes at least twelve bursts to stop for the first reason, and at least six for the second, however slow the
    artifact is: without them there is no interval.

    Args:
        take: runs the artifact.
        limit_s: of all bursts together.
        clock: in seconds.
    """
    end = clock() + limit_s
    bursts: list[Burst] = []
    while True:
        bursts.append(take(burst_seconds(limit_s), FEWEST_RUNS))
        if len(bursts) >= BURSTS_BEFORE_A_VERDICT and is_precise(bursts):
            return bursts
        if len(bursts) >= FEWEST_BLOCKS and clock() >= end:
            return bursts


def is_precise(bursts: list[Burst]) -> bool:
    """Tells whether the interval of the median is narrow enough to stop."""
    return summarise([burst.samples_ms for burst in bursts]).precision <= PRECISION
