"""What a list of latencies says; nothing here looks at a clock or a machine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Fewer blocks have no 95 % interval of their median: the smallest and the largest of five enclose it with 94 %.
FEWEST_BLOCKS = 6


@dataclass(frozen=True)
class Statistics:
    """Percentiles and the like, in milliseconds.

    Attributes:
        p50_ms: median of all runs.
        p90_ms: nine of ten runs are faster.
        p99_ms: ninety-nine of a hundred are.
        mean_ms: over all runs.
        min_ms: the fastest run.
        ci95_ms: 95 % confidence interval of the median, from the medians of the processes.
        drift: how far apart the medians of the run's three thirds lie, as a share of the smallest.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    ci95_ms: tuple[float, float]
    drift: float

    @property
    def precision(self) -> float:
        """Returns how far the farther end of the interval lies from the median, as a share of it; NaN without one."""
        return max(self.p50_ms - self.ci95_ms[0], self.ci95_ms[1] - self.p50_ms) / self.p50_ms


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
        ci95_ms=(min(low, p50), max(high, p50)),
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
