"""When a process has warmed up, and when enough of them were seen; time comes from the caller, so tests need none."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from mobilevit_deploy.measurement.latency.process import Burst
from mobilevit_deploy.measurement.latency.statistics import FEWEST_BLOCKS, summarise

TakeBurst = Callable[[float, int], Burst]  # (seconds, fewest runs) -> runs
Clock = Callable[[], float]

BLOCK_S = 1.0  # 30 to 120 runs of a model for phones
# An interval that is narrow by chance ends a measurement too early; that of eight is from the smallest to the largest.
BLOCKS_BEFORE_A_VERDICT = 8
FEWEST_RUNS = 3  # of a burst, so that one disturbed run does not move its median
PRECISION = 0.02  # both ends of the 95 % interval lie within 2 % of the median
WARMUP_SETTLED = 0.03  # the medians of two neighbouring bursts differ by less: caches, clocks and threads are warm


class Block(Protocol):
    """What one process did; its runs count."""

    @property
    def samples_ms(self) -> Sequence[float]:
        """Returns the time of each run, in order."""


AnyBlock = TypeVar("AnyBlock", bound=Block)


@dataclass(frozen=True)
class Warmup:
    """Runs that were not counted; ``settled`` tells whether their times had stopped falling."""

    runs: int
    settled: bool


def block_seconds(limit_s: float) -> float:
    """Returns how long the runs of one process take; with start and warm-up enough of them fit into the time limit."""
    return min(BLOCK_S, limit_s / (2 * FEWEST_BLOCKS))


def warm_up(take: TakeBurst, limit_s: float, clock: Clock = time.perf_counter) -> Warmup:
    """Runs until two neighbouring bursts agree, or the time is over.

    Args:
        take: runs the artifact.
        limit_s: at most; a burst takes an eighth of it.
        clock: in seconds.
    """
    end = clock() + limit_s
    runs, settled, previous = 0, False, float("inf")
    while not settled and (runs == 0 or clock() < end):
        burst = take(limit_s / 8, FEWEST_RUNS)
        runs += len(burst.samples_ms)
        median = float(np.median(burst.samples_ms))
        settled = abs(median / previous - 1) < WARMUP_SETTLED
        previous = median
    return Warmup(runs, settled)


def collect(take: Callable[[], AnyBlock], limit_s: float, clock: Clock = time.perf_counter) -> list[AnyBlock]:
    """Starts processes until the interval of the median is within 2 %, or the time limit is over.

    It takes at least eight to stop for the first reason, and at least six for the second, however slow the artifact is:
    without them there is no interval.

    Args:
        take: runs the artifact in a new process.
        limit_s: of all together.
        clock: in seconds.
    """
    end = clock() + limit_s
    blocks: list[AnyBlock] = []
    while True:
        blocks.append(take())
        if len(blocks) >= BLOCKS_BEFORE_A_VERDICT and is_precise(blocks):
            return blocks
        if len(blocks) >= FEWEST_BLOCKS and clock() >= end:
            return blocks


def is_precise(blocks: Sequence[Block]) -> bool:
    """Tells whether the interval of the median is narrow enough to stop."""
    return summarise([block.samples_ms for block in blocks]).precision <= PRECISION
