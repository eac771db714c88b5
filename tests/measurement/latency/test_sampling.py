"""When a measurement begins and ends, with a clock and an artifact that are made up."""

from collections.abc import Callable

import numpy as np
import pytest

from mobilevit_deploy.measurement.latency.process import Burst
from mobilevit_deploy.measurement.latency.sampling import BLOCK_S, block_seconds, collect, is_precise, warm_up
from mobilevit_deploy.measurement.latency.statistics import summarise


class Artifact:
    """Takes the times that a function gives for each process and run; its clock goes on with them."""

    def __init__(self, run_ms: Callable[[int, int], float]) -> None:
        self.now, self.runs, self.bursts = 0.0, 0, 0
        self._run_ms = run_ms

    def clock(self) -> float:
        return self.now

    def take(self, seconds: float, runs: int) -> Burst:
        begin, samples = self.now, list[float]()
        while len(samples) < runs or self.now < begin + seconds:
            samples.append(self._run_ms(self.bursts, self.runs))
            self.now += samples[-1] / 1e3
            self.runs += 1
        self.bursts += 1
        return Burst(tuple(samples), self.now - begin)

    def process(self) -> Burst:
        return self.take(BLOCK_S, 3)


def noisy(spread: float, seed: int = 0) -> Callable[[int, int], float]:
    """Returns times that differ between processes and little within one."""
    levels = np.random.default_rng(seed).lognormal(np.log(10), spread, 1000)
    return lambda process, _run: float(levels[process])


def test_a_steady_artifact_takes_eight_processes() -> None:
    artifact = Artifact(lambda _process, _run: 10.0)
    assert len(collect(artifact.process, 60, artifact.clock)) == 8
    assert artifact.now == pytest.approx(8 * BLOCK_S, rel=0.05)


def test_a_noisy_one_goes_on_until_the_interval_is_narrow() -> None:
    artifact = Artifact(noisy(0.06))
    blocks = collect(artifact.process, 600, artifact.clock)
    assert 8 < len(blocks) < 100
    assert is_precise(blocks)
    assert not is_precise(blocks[:-1])


def test_one_that_stays_noisy_ends_at_the_limit() -> None:
    artifact = Artifact(noisy(0.5))
    blocks = collect(artifact.process, 20, artifact.clock)
    assert not is_precise(blocks)
    assert artifact.now == pytest.approx(20, abs=2 * BLOCK_S)


def test_a_slow_one_gets_enough_processes_for_an_interval() -> None:
    artifact = Artifact(lambda process, _run: 2000.0 + 100 * process)
    blocks = collect(artifact.process, 1, artifact.clock)
    assert [len(block.samples_ms) for block in blocks] == [3] * 6


@pytest.mark.parametrize("spread", [0.005, 0.02])
def test_two_measurements_of_the_same_artifact_agree(spread: float) -> None:
    """Also when each stops as soon as its interval is narrow, by chance or not."""
    agree = 0
    for seed in range(100):
        intervals = []
        for part in (0, 1):
            artifact = Artifact(noisy(spread, 2 * seed + part))
            intervals.append(summarise([b.samples_ms for b in collect(artifact.process, 30, artifact.clock)]).within_ms)
        agree += intervals[0][0] <= intervals[1][1] and intervals[1][0] <= intervals[0][1]
    assert agree >= 95


def test_a_short_limit_makes_short_blocks() -> None:
    assert block_seconds(0.12) == pytest.approx(0.01)
    assert block_seconds(12) == block_seconds(100) == BLOCK_S


def test_warm_up_ends_when_two_bursts_agree() -> None:
    artifact = Artifact(lambda _process, run: 10.0 + 20 * 0.9**run)
    warmup = warm_up(artifact.take, 2, artifact.clock)
    assert warmup.settled
    assert 2 < artifact.bursts < 8
    assert artifact.runs == warmup.runs


def test_warm_up_that_does_not_settle_says_so() -> None:
    artifact = Artifact(lambda _process, run: 10.0 * 1.02**run)
    warmup = warm_up(artifact.take, 2, artifact.clock)
    assert not warmup.settled
    assert artifact.now < 3  # the limit, and the burst in which it ended
    slow = Artifact(lambda _process, _run: 5000.0)
    assert not warm_up(slow.take, 0.1, slow.clock).settled
    assert slow.bursts == 1
