"""Sweeps whose client and workers are killed at random moments: in the end every cell is there, whole, and the same."""

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mobilevit_deploy.sweep import attempt
from tests.support.faults import Survived
from tests.support.forks import Forks, Run
from tests.sweep.conftest import Simulation, half_written
from tests.sweep.simulated import WORKER, content_of

CELLS = 8
KILLS = {"pool": (3, 50), "cluster": (1, 50)}  # quick and slow
LONGEST_S = 1.5  # of a sweep that nobody disturbs
CLIENT = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]
ENDS = {130, *(-sent for sent in CLIENT)}  # by the signal itself before the program is there
ENDED_S = 30.0


def use(_log: Path) -> None:
    """Lets this process, a fork, make simulated cells."""
    attempt.WORKER = WORKER


def check_whole(out: Path) -> int:
    """Checks that whatever has its final name is whole; returns how many cells exist."""
    for path in out.glob("cells/*/net.onnx"):
        assert path.stat().st_size == len(content_of("")), "half an artifact"
    cells = list(out.glob("cells/*/cell.json"))
    for cell in cells:
        record = json.loads(cell.read_text())
        assert hashlib.sha256((out / record["artifact"]).read_bytes()).hexdigest() == record["sha256"]
        assert {path.name for path in (cell.parent / "net.mlpackage").iterdir()} >= {"one", "two"}
    return len(cells)


def victims(client: int, folder: Path, *, cluster: bool) -> Sequence[psutil.Process]:
    """Returns the processes that work for a sweep: those that make its cells, and what they are forked from."""
    found = []
    for path in (folder / "begun").glob("*"):
        for line in path.read_text().split():
            with suppress(psutil.Error):
                cell = psutil.Process(int(line))
                above = cell.parents()[: 2 if cluster else 1]
                found += [cell, *(item for item in above if item.pid != client)]
    return found


@pytest.mark.parametrize("engine", ["pool", "cluster"])
@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "many"])
def test_kills_of_client_and_workers(
    forks: Forks,
    simulation: Simulation,
    log: Path,
    survived: Survived,
    engine: str,
    many: bool,
    request: pytest.FixtureRequest,
) -> None:
    chance = random.Random(f"{engine} {many}")
    cluster = engine == "cluster"
    place = ("--scheduler", request.getfixturevalue("scheduler")) if cluster else ("--jobs", 2)
    simulation.write(CELLS, "retries = 50", options="{ seconds = 0.1 }")
    wanted = {hashlib.sha256(content_of(f"sim.py:c{number}")).hexdigest() for number in range(CELLS)}

    def start(out: Path) -> Run:
        arguments = ("sweep", simulation.file, "--out", out, "--resume", *place)
        return forks.start(arguments, simulation.folder, log, "tests.sweep.test_kills:use")

    out, rounds, killed = simulation.out, 0, 0
    while killed < KILLS[engine][many]:
        run = start(out)
        kill_client = chance.random() < 0.5
        time.sleep(chance.uniform(0.0, LONGEST_S))
        with suppress(ProcessLookupError, psutil.Error):  # it was quicker
            if kill_client:
                os.kill(run.pid, chance.choice(CLIENT))
                killed += 1
            elif found := victims(run.pid, simulation.folder, cluster=cluster):
                chance.choice(found).kill()
                killed += 1
        done = forks.wait(run)
        assert done.code == 0 or (kill_client and done.code in ENDS), done.errors
        exist = check_whole(out) if out.exists() else 0
        if done.code == 0:
            assert exist == CELLS
            assert half_written(out) == []
            sweep = json.loads((out / "sweep.json").read_text())
            assert {cell["sha256"] for cell in sweep["cells"]} == wanted
            assert len(list((out / "cells").iterdir())) == CELLS
            rounds += 1
            out = simulation.folder / f"out-{rounds}"
        survived(f"{killed}")
    done = forks.wait(start(out))
    assert done.code == 0, done.errors
    assert check_whole(out) == CELLS
    assert half_written(out) == []
    end = time.monotonic() + ENDED_S
    while _left(simulation.folder) and time.monotonic() < end:
        time.sleep(0.05)
    assert _left(simulation.folder) == []


def _left(folder: Path) -> list[int]:
    """Returns the processes that still make cells."""
    pids = {int(line) for path in (folder / "begun").glob("*") for line in path.read_text().split()}
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
