"""Which machine spoils a latency."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from mobilevit_deploy.measurement.latency import stability
from mobilevit_deploy.measurement.latency.process import Burst
from mobilevit_deploy.measurement.latency.stability import Conditions, Watch, _Usage, doubts, mean_conditions
from mobilevit_deploy.measurement.latency.statistics import Statistics

STATISTICS = Statistics(10, 10, 10, 10, 10, (9.9, 10.1), 0.01)
QUIET = Conditions(cores=4, others_share=0.02, steal_share=0, waiting_share=0.005, switches_per_s=5)


def test_a_quiet_machine_leaves_no_doubt() -> None:
    assert doubts(STATISTICS, True, QUIET, 4) == ()
    unknown = replace(QUIET, waiting_share=None, switches_per_s=None)
    assert doubts(STATISTICS, True, unknown, 4) == ()


@pytest.mark.parametrize(
    ("statistics", "conditions", "doubt"),
    [
        ({"drift": 0.06}, {}, "thirds lie 6% apart"),
        ({"within_ms": (9.9, 10.3)}, {}, "off by 3.0%, and 2% is asked of it"),
        ({"within_ms": (math.nan, math.nan)}, {}, "off by nan%"),
        ({}, {"others_share": 0.11}, "other processes took 11% of the 4 cores"),
        ({}, {"steal_share": 0.02}, "2.0% of its time (steal)"),
        ({}, {"waiting_share": 0.03}, "waited 3% of the time for a core"),
        ({}, {"switches_per_s": 80.0}, "taken off their cores 80 times a second"),
        ({}, {"cores": 3}, "4 threads on 3 available cores"),
    ],
)
def test_each_rule_fires_alone(statistics: dict[str, Any], conditions: dict[str, Any], doubt: str) -> None:
    (found,) = doubts(replace(STATISTICS, **statistics), True, replace(QUIET, **conditions), 4)
    assert doubt in found


def test_a_warm_up_that_did_not_settle() -> None:
    (found,) = doubts(STATISTICS, False, QUIET, 4)
    assert "the warm-up did not settle" in found


def test_a_mean_of_conditions() -> None:
    found = mean_conditions([QUIET, replace(QUIET, others_share=0.5, waiting_share=None)])
    assert found.others_share == pytest.approx(0.26)
    assert found.waiting_share == QUIET.waiting_share
    assert mean_conditions([replace(QUIET, switches_per_s=None)]).switches_per_s is None


def watch(
    monkeypatch: pytest.MonkeyPatch, usage: list[_Usage], own: list[float], seconds: float, *bursts: Burst
) -> Conditions:
    """Returns what a watch finds on a machine with two cores, between two made-up states of it."""
    monkeypatch.setattr(stability, "allowed_cores", lambda: [0, 1])
    monkeypatch.setattr(_Usage, "read", lambda: usage.pop(0))
    times, used = iter([0.0, seconds]), iter(own)
    return Watch(lambda: next(used), lambda: next(times)).conditions(bursts, threads=1)


def test_what_others_took_is_what_the_cores_did_less_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = [_Usage(100.0, 7.0), _Usage(114.0, 7.5)]
    found = watch(monkeypatch, usage, [3.0, 12.0], 10, Burst((1.0,), 4, 10, 0.2), Burst((1.0,), 4, 14, 0.4))
    assert found.others_share == pytest.approx((14 - 9) / 20)
    assert found.steal_share == pytest.approx(0.5 / 20)
    assert found.waiting_share == pytest.approx(0.6 / 8)
    assert found.switches_per_s == pytest.approx(24 / 8)


def test_a_system_without_these_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    found = watch(monkeypatch, [_Usage(1, 0), _Usage(1.99, 0)], [0, 1], 1, Burst((1.0,), 1))
    assert found.others_share == 0  # ticks of 10 ms: 0.99 s where we know of 1 s
    assert found.waiting_share is None
    assert found.switches_per_s is None


def test_a_system_is_read_at_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = [
        SimpleNamespace(user=1.0, nice=2.0, system=4.0, irq=8.0, softirq=16.0, steal=0.5, guest=100.0, idle=1000.0),
        SimpleNamespace(user=32.0, system=64.0, idle=1000.0),  # macOS
        SimpleNamespace(user=7.0, system=7.0, idle=1000.0, steal=7.0),
    ]
    monkeypatch.setattr(stability, "allowed_cores", lambda: [0, 1, 9])
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: cores if percpu else None)
    assert _Usage.read() == _Usage(127.0, 0.5)


def test_this_machine_is_read() -> None:
    before, after = _Usage.read(), _Usage.read()
    assert after.busy_s >= before.busy_s > 0
    assert after.steal_s >= before.steal_s >= 0
