"""Statistics of latencies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.measurement.latency.statistics import summarise

Times = st.floats(0.01, 1e4)


@given(st.lists(st.lists(Times, min_size=3, max_size=20), min_size=6, max_size=30))
def test_order(blocks: list[list[float]]) -> None:
    found = summarise(blocks)
    largest = max(map(max, blocks))
    assert found.min_ms <= found.within_ms[0] <= found.p50_ms <= found.within_ms[1] <= largest
    assert found.ci95_ms[0] < found.within_ms[0]
    assert found.ci95_ms[1] > found.within_ms[1]
    assert found.p50_ms <= found.p90_ms <= found.p99_ms <= largest * (1 + 1e-12)
    assert found.drift >= 0


@given(st.lists(st.lists(Times, min_size=3, max_size=20), min_size=6, max_size=30), st.floats(0.01, 100))
def test_another_unit_changes_no_share(blocks: list[list[float]], factor: float) -> None:
    found, scaled = summarise(blocks), summarise([[factor * value for value in block] for block in blocks])
    assert scaled.p50_ms == pytest.approx(factor * found.p50_ms)
    assert scaled.drift == pytest.approx(found.drift, abs=1e-9)
    assert scaled.precision == pytest.approx(found.precision, abs=1e-9)


def test_known_values() -> None:
    # One run a block, so the medians of the blocks are the runs; shuffled, for their order does not matter here.
    values = np.random.default_rng(0).permutation(np.arange(1.0, 102))
    found = summarise([[float(value)] for value in values])
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.mean_ms, found.min_ms) == (51, 91, 100, 51, 1)
    # Ranks 41 and 61 of 101: the binomial interval of the median (Conover 1999, table A3 at n = 101).
    assert found.within_ms == (41, 61)
    assert found.precision == 10 / 51


def test_twelve_blocks_leave_out_two_at_each_end() -> None:
    blocks = [[10.0 + i] * 5 for i in range(12)]  # the third and the tenth of twelve enclose the median with 96 %
    assert summarise(blocks).within_ms == (12, 19)


def test_too_few_blocks_have_no_interval() -> None:
    found = summarise([[10.0, 11.0, 12.0]] * 5)
    assert math.isnan(found.within_ms[0])
    assert math.isnan(found.ci95_ms[0])
    assert math.isnan(found.precision)
    assert summarise([[10.0, 11.0, 12.0]] * 6).within_ms == (11, 11)


def test_another_run_may_lie_farther_off_than_the_processes_of_one_do() -> None:
    alike = summarise([[100.0] * 3] * 6)
    assert alike.within_ms == (100, 100)
    assert alike.ci95_ms == pytest.approx((98.5, 101.5))  # BETWEEN_RUNS alone
    apart = summarise([[100.0 + i] * 3 for i in (-2, -1, -0.5, 0.5, 1, 2)])
    assert apart.within_ms == (98, 102)
    assert apart.ci95_ms == pytest.approx((97.5, 102.5))  # 2 and 1.5, in squares


def hits(block: int, count: int = 300) -> float:
    """Returns how often the interval holds the median 1 of runs that come in disturbed and undisturbed stretches."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(count):
        stretches = rng.lognormal(0, 0.05, 60)  # one value for 10 runs each: neighbours resemble each other
        runs = np.repeat(stretches, 10) * rng.lognormal(0, 0.01, 600)
        low, high = summarise([list(part) for part in runs.reshape(-1, block)]).within_ms
        found += low <= 1 <= high
    return found / count


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    assert 0.92 <= hits(block=30) <= 0.995  # 95 % or a little more, for ranks are whole; three standard errors are 4 %


def test_runs_taken_as_independent_would_be_too_sure_of_themselves() -> None:
    assert hits(block=1) < 0.6


def test_drift_is_between_thirds() -> None:
    assert summarise([[10.0] * 5] * 12).drift == 0
    assert summarise([[10.0] * 20] * 2 + [[12.0] * 20]).drift == pytest.approx(0.2)
    assert summarise([[10.0] * 20, [12.0] * 20, [10.0] * 20]).drift == pytest.approx(0.2)  # halves would miss it
