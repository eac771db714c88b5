"""Which cores a measurement runs on."""

import os
from collections.abc import Sequence

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.measurement.latency import cores
from mobilevit_deploy.measurement.latency.cores import choose_cores, rank_cores


def rank(busy: Sequence[float], speeds: Sequence[float] = (), threads_per_core: int = 1) -> tuple[int, ...]:
    count = len(busy)
    starts = [i // threads_per_core * threads_per_core for i in range(count)]
    siblings = {i: frozenset(range(start, min(start + threads_per_core, count))) for i, start in enumerate(starts)}
    return rank_cores(dict(enumerate(busy)), dict(enumerate(speeds or [1.0] * count)), siblings)


def test_the_least_busy_comes_first() -> None:
    assert rank([50, 0, 100, 10]) == (1, 3, 0, 2)
    assert rank([0, 0, 0]) == (0, 1, 2)


def test_slow_cores_come_last_however_idle() -> None:
    assert rank([30, 20, 0, 0], [3000, 3100, 1800, 1800]) == (1, 0, 2, 3)


def test_no_two_threads_on_one_physical_core_while_others_are_free() -> None:
    assert rank([0, 0, 5, 5], threads_per_core=2) == (0, 2, 1, 3)


def test_a_busy_sibling_counts() -> None:
    assert rank([0, 90, 5, 5], threads_per_core=2)[0] == 2


@given(st.lists(st.floats(0, 100), min_size=1, max_size=16), st.sampled_from([1, 2, 4]))
def test_every_core_once(busy: list[float], threads_per_core: int) -> None:
    assert sorted(rank(busy, threads_per_core=threads_per_core)) == list(range(len(busy)))


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux machine whose process may use cores 2 to 5, of which 4 is idle."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(cores, "allowed_cores", lambda: [2, 3, 4, 5])
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: [0.0, 0.0, 80.0, 70.0, 1.0, 60.0])
    monkeypatch.setattr(cores, "_speeds", lambda found: dict.fromkeys(found, 1.0))
    monkeypatch.setattr(cores, "_siblings", lambda core: frozenset({core}))


@pytest.mark.usefixtures("four")
def test_what_is_chosen() -> None:
    assert choose_cores("auto", 1) == (4,)
    assert choose_cores("auto", 2) == (4, 5)
    assert choose_cores("auto", 4) == ()  # all of them anyhow
    assert choose_cores("none", 1) == ()
    assert choose_cores("5,2-3", 1) == (2, 3, 5)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(("pin", "message"), [("1", "may not use core 1"), ("3-9", "core 6, 7"), ("5-3", "core 5-3")])
def test_cores_that_cannot_be_used(pin: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        choose_cores(pin, 1)
    assert "2, 3, 4, 5" in str(caught.value.hint)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("pin", ["", "all", "1,", "-1", "0x1", "99999"])
def test_what_is_no_list_of_cores(pin: str) -> None:
    with pytest.raises(UsageError, match="--pin takes auto, none or core numbers"):
        choose_cores(pin, 1)


def test_a_system_that_pins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert choose_cores("auto", 1) == ()
    with pytest.raises(UsageError, match="does not let a program choose"):
        choose_cores("0", 1)


def test_this_machine() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    assert all(core in cores._siblings(core) for core in allowed)
    assert set(cores._speeds(allowed)) == set(allowed)
    assert set(choose_cores("auto", 1)) <= set(allowed)
