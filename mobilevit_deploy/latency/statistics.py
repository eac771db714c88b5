"""What a list of latencies says, and whether it may be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

# The medians of the first and the second half of a run differ by less than this on a quiet machine.
DRIFT_LIMIT = 0.05


@dataclass(frozen=True)
class Statistics:
    """Percentiles and the like, in milliseconds; ``ci95`` is the 95 % confidence interval of the median."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    ci95_ms: tuple[float, float]
    drift: float


def summarise(samples_ms: Sequence[float]) -> Statistics:
    """Returns the statistics of a run, in the order in which it was measured.

    The confidence interval is the exact one of order statistics (scipy's ``quantile_test``), which assumes
    nothing of the distribution. ``drift`` is how far the median of the second half lies from that of the
    first, as a share of the first.
    """
    samples = np.asarray(samples_ms)
    p50, p90, p99 = np.percentile(samples, (50, 90, 99))
    interval = stats.quantile_test(samples, p=0.5).confidence_interval(0.95)
    half = len(samples) // 2
    first, second = (float(np.median(part)) for part in (samples[:half], samples[half:]))
    return Statistics(
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        mean_ms=float(samples.mean()),
        min_ms=float(samples.min()),
        ci95_ms=(float(interval.low), float(interval.high)),
        drift=abs(second / first - 1),
    )
