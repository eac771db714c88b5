"""The ratio of times that were measured in turns."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.measurement.comparison.ratio import paired_ratio

Times = st.lists(st.lists(st.floats(0.1, 1e3), min_size=5, max_size=5), min_size=8, max_size=8)


def test_a_known_value() -> None:
    # Log ratios of the groups: 0.01 * (1, 2, ..., 7). Mean 0.04, standard error 0.0216025 / sqrt(7), t(6) = 2.446912.
    base = [[10.0] * 3 for _ in range(7)]
    other = [[10 * math.exp(0.01 * i)] * 3 for i in range(1, 8)]
    found = paired_ratio(base, other)
    assert found.value == pytest.approx(math.exp(0.04))
    half = 2.446912 * 0.0216025 / math.sqrt(7)
    assert found.ci95 == pytest.approx((math.exp(0.04 - half), math.exp(0.04 + half)), rel=1e-6)
    assert (found.groups, found.pairs) == (7, 21)


@given(Times, Times)
def test_turned_round_it_is_the_inverse(base: list[list[float]], other: list[list[float]]) -> None:
    found, inverse = paired_ratio(base, other), paired_ratio(other, base)
    assert inverse.value == pytest.approx(1 / found.value)
    assert inverse.ci95[0] == pytest.approx(1 / found.ci95[1])
    assert found.ci95[0] <= found.value <= found.ci95[1]


@given(Times, st.floats(0.1, 10))
def test_the_same_factor_everywhere_is_the_ratio(base: list[list[float]], factor: float) -> None:
    found = paired_ratio(base, [[factor * value for value in group] for group in base])
    assert found.value == pytest.approx(factor)
    assert found.ci95 == pytest.approx((factor, factor), rel=1e-6)


def test_too_few_groups_have_no_interval() -> None:
    assert math.isnan(paired_ratio([[1.0]] * 5, [[2.0]] * 5).ci95[0])
    assert paired_ratio([[1.0]] * 5, [[2.0]] * 5).value == pytest.approx(2)


def noise(rng: np.random.Generator, groups: int, rounds: int) -> tuple[list[list[float]], list[list[float]]]:
    """Two artifacts of the same speed on a machine that slows down by half at times, processes 1 % apart."""
    machine = np.where(rng.random((groups, rounds)) < 0.3, 1.5, 1.0) * rng.lognormal(0, 0.1, (groups, 1))
    times = [
        machine * rng.lognormal(0, 0.01, (groups, 1)) * rng.lognormal(0, 0.005, (groups, rounds)) for _ in range(2)
    ]
    return times[0].tolist(), times[1].tolist()


def coverage(groups: int, rounds: int, *, one_group: bool = False) -> float:
    """Returns how often the interval holds 1; with ``one_group`` each round is counted as processes of its own."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        base, other = noise(rng, groups, rounds)
        if one_group:
            base, other = ([[value] for group in column for value in group] for column in (base, other))
        low, high = paired_ratio(base, other).ci95
        inside += low <= 1 <= high
    return inside / 300


def test_the_interval_covers_the_ratio_as_often_as_it_says() -> None:
    assert 0.91 <= coverage(8, 6) <= 0.99  # 95 %; three standard errors are 4 %


def test_many_rounds_of_the_same_processes_would_be_too_sure_of_themselves() -> None:
    assert coverage(1, 48, one_group=True) < 0.6


def test_what_the_machine_does_to_both_cancels() -> None:
    base, other = noise(np.random.default_rng(1), 8, 6)
    found = paired_ratio(base, other)
    assert found.precision < 0.02
    unpaired = paired_ratio(base, [*other[1:], other[0]])  # each group beside another one's
    assert unpaired.precision > 2 * found.precision
