"""An export that is killed or interrupted at any moment leaves the old artifacts or the new ones, whole."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.export.faults.exports import (
    ENDED_S,
    Checkpoints,
    check_whole,
    export,
    hashes,
    orphans,
    recover,
    weights_by_target,
)
from tests.support.faults import Survived
from tests.support.forks import Forks

# With each signal, quick and slow: 12 and 108 in all; the second takes three times as long.
KILLS = {"coreml": (2, 26), "onnx coreml": (2, 10)}
SIGNALS = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]
PUBLISHING = "publishing into"


@pytest.mark.parametrize("sent", SIGNALS, ids=lambda item: item.name)
@pytest.mark.parametrize("to", KILLS)
@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "many"])
def test_at_random_moments(
    forks: Forks,
    checkpoints: Checkpoints,
    here: Path,
    log: Path,
    survived: Survived,
    sent: int,
    to: str,
    many: bool,
) -> None:
    """Half of the moments are anywhere in the run, half while names are put in place."""
    folder, targets, chance = here / "artifacts", to.split(), random.Random(f"{sent} {to} {many}")
    kills = KILLS[to][many]
    whole = forks.run(export(checkpoints.first, *targets), here, log)
    assert whole.code == 0, whole.errors
    ends = []
    for number in range(kills):
        old, before = hashes(folder), weights_by_target(folder)
        given = export(checkpoints.other(before[targets[0]]), *targets)
        run = forks.start(given, here, log, prepare="tests.export.faults.exports:unmeasured")
        _wait_for_moment(run.begun, whole.seconds, log, publishing=number % 2 == 1, chance=chance)
        _send(run.pid, sent)
        done = forks.wait(run)
        ends.append(done.code)
        if done.errors:  # else it was hit before the program began, and ended by the signal itself
            assert done.code in (0, -signal.SIGKILL if sent == signal.SIGKILL else 130), done.errors
        check_whole(folder, old)
        if sent != signal.SIGKILL:
            assert not list((log / "temporary").iterdir()) or "nothing unfinished" in done.errors
        _check_no_orphans(log)  # the system ends a killed run's forks, which hold its folder until then
        recover(folder)
        after = weights_by_target(folder)
        assert len(set(after.values())) == 1, "one target is of another training"
        if done.code == 0:
            assert after != before
        survived(f"{number}")
    assert ends.count(0) < kills or not many, "no run was stopped"
    assert forks.run(export(checkpoints.first, *targets), here, log).code == 0
    assert not list((log / "temporary").iterdir()), "what killed runs left is not cleaned up by the next"


def _wait_for_moment(begun: float, seconds: float, log: Path, *, publishing: bool, chance: random.Random) -> None:
    if not publishing:
        time.sleep(max(0.0, begun + chance.uniform(0, seconds) - time.perf_counter()))
        return
    end = begun + 10 * seconds + 5
    errors = log / "errors"
    while not (errors.exists() and PUBLISHING in errors.read_text()) and time.perf_counter() < end:
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.006))


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, number)


def _check_no_orphans(log: Path) -> None:
    end = time.perf_counter() + ENDED_S
    while (left := orphans(log)) and time.perf_counter() < end:
        time.sleep(0.02)
    assert left == []
