"""How many times as long one artifact takes as another, from paired times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
FEWEST_GROUPS = 6  # with fewer, the t distribution makes the interval many times as wide as the spread


@dataclass(frozen=True)
class Ratio:
    """Times of one artifact over those of the base; ``ci95`` is the 95 % confidence interval."""

    value: float
    ci95: tuple[float, float]
    groups: int
    pairs: int

    @property
    def precision(self) -> float:
        """Returns half the width of the interval, as a share of the ratio; NaN without an interval."""
        return (self.ci95[1] - self.ci95[0]) / 2 / self.value


def paired_ratio(base_ms: Sequence[Sequence[float]], other_ms: Sequence[Sequence[float]]) -> Ratio:
    """Returns the ratio of two artifacts' times that were measured in turns.

    The times of one pair share what the machine did at that moment, which their ratio leaves out. Pairs of the same
    two processes also share where these lie in memory, which changes a latency by a percent or so, and no number of
    runs tells it from a difference between the artifacts. So each group of processes counts once, with the median of
    its log ratios, and the interval is Student's over the groups.

    Args:
        base_ms: of each group of processes, the time of each round.
        other_ms: likewise, of the other artifact in the same rounds.
    """
    logs = [np.log(np.asarray(other)) - np.log(np.asarray(base)) for base, other in zip(base_ms, other_ms, strict=True)]
    groups = [float(np.median(values)) for values in logs]
    mean = float(np.mean(groups))
    low = high = math.nan
    if len(groups) >= FEWEST_GROUPS:
        standard_error = float(np.std(groups, ddof=1)) / math.sqrt(len(groups))
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(groups) - 1)) * standard_error
        low, high = mean - half, mean + half
    return Ratio(math.exp(mean), (math.exp(low), math.exp(high)), len(groups), sum(map(len, logs)))
