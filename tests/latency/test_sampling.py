"""When a measurement begins and ends, with a clock and an artifact that are made up."""

from collections.abc import Callable

import numpy as np
import pytest

from mobilevit_deploy.latency.process import Burst
from mobilevit_deploy.latency.sampling import BURST_S, burst_seconds, collect, is_precise, warm_up
from mobilevit_deploy.latency.statistics import summarise


class Artifact:
    """Takes the times that a function gives for each run; its clock goes on with them."""

    def __init__(self, run_ms: Callable[[int], float]) -> None:
        self.now, self.runs, self.bursts = 0.0, 0, 0
        self._run_ms = run_ms

    def clock(self) -> float:
        return self.now

    def take(self, seconds: float, runs: int) -> Burst:
        begin, samples = self.now, list[float]()
        while len(samples) < runs or self.now < begin + seconds:
            samples.append(self._run_ms(self.runs))
            self.now += samples[-1] / 1e3
            self.runs += 1
        self.bursts += 1
        return Burst(tuple(samples), self.now - begin)


def test_a_steady_artifact_ends_long_before_the_limit() -> None:
    artifact = Artifact(lambda _: 10.0)
    assert len(collect(artifact.take, 60, artifact.clock)) == 12
    assert artifact.now == pytest.approx(12 * BURST_S, rel=0.05)


def noisy(spread: float, seed: int = 0) -> Callable[[int], float]:
    """Returns runs in stretches of 25, the length of a burst."""
    levels = np.random.default_rng(seed).lognormal(np.log(10), spread, 10_000)
    return lambda run: float(levels[run // 25])


def test_a_noisy_one_goes_on_until_the_interval_is_narrow() -> None:
    artifact = Artifact(noisy(0.05))
    bursts = collect(artifact.take, 600, artifact.clock)
    assert 12 < len(bursts) < 300
    assert is_precise(bursts)
    assert not is_precise(bursts[:-1])


def test_one_that_stays_noisy_ends_at_the_limit() -> None:
    artifact = Artifact(noisy(0.5))
    bursts = collect(artifact.take, 6, artifact.clock)
    assert not is_precise(bursts)
    assert artifact.now == pytest.approx(6, abs=2 * BURST_S)


def test_a_slow_one_gets_enough_runs_for_an_interval() -> None:
    artifact = Artifact(lambda run: 2000.0 + run)
    bursts = collect(artifact.take, 1, artifact.clock)
    assert [len(burst.samples_ms) for burst in bursts] == [3] * 6


def test_stopping_early_costs_little_of_the_95_percent() -> None:
    inside = 0
    for seed in range(200):
        artifact = Artifact(noisy(0.03, seed))
        bursts = collect(artifact.take, 10, artifact.clock)
        low, high = summarise([burst.samples_ms for burst in bursts]).ci95_ms
        inside += low <= 10 <= high
    assert inside / 200 >= 0.88  # 95 % less what stopping takes, and three standard errors, 4.6 %


def test_a_short_limit_makes_short_bursts() -> None:
    assert burst_seconds(0.12) == pytest.approx(0.01)
    assert burst_seconds(3) == burst_seconds(100) == BURST_S


def test_warm_up_ends_when_two_bursts_agree() -> None:
    artifact = Artifact(lambda run: 10.0 + 20 * 0.9**run)
    warmup = warm_up(artifact.take, 10, artifact.clock)
    assert warmup.settled
    assert artifact.bursts > 2
    assert artifact.runs == warmup.runs
    assert Artifact(lambda _: 10.0).take(0, 3).samples_ms == (10, 10, 10)


def test_warm_up_that_does_not_settle_says_so() -> None:
    artifact = Artifact(lambda run: 10.0 * 1.02**run)
    warmup = warm_up(artifact.take, 3, artifact.clock)
    assert not warmup.settled
    assert artifact.now < 2.5  # a third of the limit, and the burst in which it ended
    slow = Artifact(lambda _: 5000.0)
    assert not warm_up(slow.take, 0.1, slow.clock).settled
    assert slow.bursts == 1
