"""What a list of latencies says; nothing here looks at a clock or a machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Fewer blocks have no 95 % interval of their median: the smallest and the largest of five enclose it with 94 %.
FEWEST_BLOCKS = 6
# Half the width, as a share of the median, of what a run cannot see of its machine, because it lasts longer than it:
# clocks, neighbours on the same host, where memory lies. Of 20 stable runs of cas_vit_m within 13 minutes on an idle
# virtual machine, the processes' intervals of 14 of 19 neighbours overlapped; with this added to the same runs, 18.
BETWEEN_RUNS = 0.015


@dataclass(frozen=True)
class Statistics:
    """Percentiles and the like, in milliseconds.

    Attributes:
        p50_ms: median of all runs.
        p90_ms: nine of ten runs are faster.
        p99_ms: ninety-nine of a hundred are.
        mean_ms: over all runs.
        min_ms: the fastest run.
        within_ms: 95 % confidence interval of this run's median, from the medians of its processes.
        drift: how far apart the medians of the run's three thirds lie, as a share of the smallest.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    within_ms: tuple[float, float]
    drift: float

    @property
    def precision(self) -> float:
        """Returns how far the farther end of ``within_ms`` lies from the median, as a share of it; NaN without one."""
        return max(self.p50_ms - self.within_ms[0], self.within_ms[1] - self.p50_ms) / self.p50_ms

    @property
    def ci95_ms(self) -> tuple[float, float]:
        """Returns the 95 % interval of what another run, minutes earlier or later, has as its median."""
        p50, (low, high) = self.p50_ms, self.within_ms
        between = BETWEEN_RUNS * p50
        return p50 - math.hypot(p50 - low, between), p50 + math.hypot(high - p50, between)


def summarise(blocks: Sequence[Sequence[float]]) -> Statistics:
    """Returns the statistics of a run.

    Runs of one process resemble each other: they share its place in memory, and what disturbs one lasts longer than
    it. An interval that takes them as independent is too narrow. The interval here is the exact one of order statistics
    (scipy's ``quantile_test``, which assumes nothing of the distribution) over the processes' medians; it is widened to
    the median of all runs where that lies outside.

    Args:
        blocks: the runs of each process, in milliseconds, in the order in which they were measured.

    Source: D. Munoz, "On the validity of the batch quantile method for Markov chains" (Operations Research Letters,
        2010); W. Conover, "Practical Nonparametric Statistics" (1999), section 3.2, for the interval.
    """
    samples = np.concatenate([np.asarray(block, dtype=float) for block in blocks])
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    low, high = _median_interval([float(np.median(block)) for block in blocks])
    return Statistics(
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        mean_ms=float(samples.mean()),
        min_ms=float(samples.min()),
        within_ms=(min(low, p50), max(high, p50)),
        drift=_drift(samples),
    )


def _median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % interval of the median of independent values; NaN where there are too few."""
    if len(values) < FEWEST_BLOCKS:
        return math.nan, math.nan
    interval = stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high)


def _drift(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Returns how far the medians of the thirds lie apart; 0 for fewer than three runs."""
    if len(samples) < 3:
        return 0.0
    medians = [float(np.median(part)) for part in np.array_split(samples, 3)]
    return max(medians) / min(medians) - 1
