"""Statistics of latencies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.latency.statistics import summarise


@given(st.lists(st.floats(0.01, 1e4), min_size=20, max_size=300))
def test_order(samples: list[float]) -> None:
    found = summarise(samples)
    assert found.min_ms <= found.ci95_ms[0] <= found.p50_ms <= found.ci95_ms[1] <= max(samples)
    assert found.p50_ms <= found.p90_ms <= found.p99_ms


def test_known_values() -> None:
    found = summarise([float(value) for value in range(1, 102)])
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == (51, 91, 100)
    # Ranks 41 and 61 of 101: the binomial interval of the median (Conover 1999, table A3 at n = 101).
    assert found.ci95_ms == (41, 61)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        low, high = summarise(list(rng.lognormal(0, 0.3, 40))).ci95_ms
        hits += low <= 1 <= high
    assert 0.93 <= hits / 300 <= 0.995  # 95 % or a little more, for ranks are whole; three standard errors are 4 %


def test_drift() -> None:
    assert summarise([10.0] * 50).drift == 0
    assert summarise([10.0] * 25 + [12.0] * 25).drift == pytest.approx(0.2)
