"""Sweeps on a Dask cluster of two workers, which are killed, lose their client, and do or do not have a phone."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mobilevit_deploy.errors import MvdError, UsageError
from tests.sweep.conftest import Simulation, digests, half_written

pytest.importorskip("distributed")

PATIENCE_S = 60


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def making(folder: Path) -> Iterator[psutil.Process]:
    """Yields the processes that make cells of a folder at present."""
    for path in (folder / "begun").glob("*"):
        for line in path.read_text().split():
            if psutil.pid_exists(int(line)) and psutil.Process(int(line)).status() != psutil.STATUS_ZOMBIE:
                yield psutil.Process(int(line))


def test_a_cluster_makes_what_the_pool_makes(simulation: Simulation, scheduler: str, tmp_path: Path) -> None:
    simulation.write(6)
    found = simulation.run(scheduler=scheduler)
    assert {cell.status for cell in found.cells} == {"done"}
    assert {cell.worker for cell in found.cells} <= {"0", "1"}
    assert simulation.attempts() == {f"c{number}": 1 for number in range(6)}
    assert half_written(simulation.out) == []
    assert digests(simulation.run(out=str(tmp_path / "other"))) == digests(found)


def test_a_crash_is_tried_again_on_the_other_worker(simulation: Simulation, scheduler: str) -> None:
    simulation.write(1, "retries = 1", options="{ failing = 9, how = 'abort' }")
    (cell,) = simulation.run(scheduler=scheduler).cells
    assert (cell.status, cell.attempts) == ("failed", 2)
    assert "SIGABRT" in cell.reason
    again, last = (moment.line for moment in simulation.moments if moment.line)
    assert again.endswith("begun again")
    assert f"on {1 - int(cell.worker or 0)}: " in again
    assert "failed: its process was ended by SIGABRT" in last


def test_a_worker_that_is_killed_costs_no_cell(simulation: Simulation, scheduler: str) -> None:
    simulation.write(4, options="{ seconds = 0.5 }")
    killed = []

    def kill() -> None:
        wait_for(lambda: list(making(simulation.folder)))
        cell = next(making(simulation.folder))
        host = cell.parent()
        assert host is not None
        worker = host.parent()
        assert worker is not None
        worker.kill()
        killed.append(worker.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    sweep = simulation.run(scheduler=scheduler)
    thread.join()
    assert killed
    assert {cell.status for cell in sweep.cells} == {"done"}
    assert half_written(simulation.out) == []


def test_a_cell_waits_for_a_worker_that_has_what_it_needs(simulation: Simulation, scheduler: str) -> None:
    """It waits for a phone that no worker has, until one comes with it; the others are made at once."""
    simulation.write(3, matrix="[[adjust]]\nmodel = '*:c0'\nneeds = { ANDROID = 1 }")
    told: list[str] = []
    phones: list[subprocess.Popen[bytes]] = []

    def when_others_are_done() -> None:
        wait_for(lambda: any(moment.done == 2 for moment in simulation.moments))
        told.extend(moment.line for moment in simulation.moments)
        time.sleep(0.6)  # it is still waiting
        told.append(str(simulation.moments[-1].done))
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--name", "phone", "--resources", "ANDROID=1"]
        command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, *options]
        phones.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    thread = threading.Thread(target=when_others_are_done)
    thread.start()
    try:
        sweep = simulation.run(scheduler=scheduler)
    finally:
        thread.join()
        for phone in phones:
            phone.terminate()
            phone.wait()
    assert "1 cells wait for workers: no worker here offers ANDROID=1" in told
    assert told[-1] == "2"
    assert [cell.worker == "phone" for cell in sweep.cells] == [True, False, False]


def test_a_client_that_goes_takes_its_cells_along(simulation: Simulation, scheduler: str) -> None:
    simulation.write(1, options="{ seconds = 120 }")
    environments: list[set[str]] = []

    def interrupt() -> None:
        try:
            wait_for(lambda: list(making(simulation.folder)))
            cell = next(making(simulation.folder))
            environments.extend(set(process.environ()) for process in (cell, *cell.parents()[:2]))
        finally:  # else the cell runs to its end, and hides why
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            simulation.run(scheduler=scheduler)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: not list(making(simulation.folder)))
    assert ["MALLOC_TRIM_THRESHOLD_" in names for names in environments] == [False, False, True], "see OF_CELLS"


def test_a_cell_that_hangs_is_ended(simulation: Simulation, scheduler: str) -> None:
    hang = "options = { model_args = { failing = 9, how = 'hang' } }"
    simulation.write(2, "retries = 0\ntime_limit = 0.5", f"[[adjust]]\nmodel = '*:c0'\n{hang}")
    first, second = simulation.run(scheduler=scheduler).cells
    assert (first.status, second.status) == ("failed", "done")
    assert "not finished in 0.5 s" in first.reason
    assert not list(making(simulation.folder))


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [("nothing://x", UsageError, "no address"), ("tcp://127.0.0.1:9", MvdError, "no Dask scheduler answers")],
)
def test_an_address_where_nobody_is(
    simulation: Simulation, address: str, error: type[MvdError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobilevit_deploy.sweep import cluster

    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    simulation.write(1)
    with pytest.raises(error, match=words):
        simulation.run(scheduler=address)
    assert not simulation.out.exists()


def test_a_scheduler_that_is_lost_loses_no_cell(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished is kept, and the next run goes on."""
    from distributed import LocalCluster

    from mobilevit_deploy.sweep import cluster

    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    simulation.write(40, options="{ seconds = 0.05 }")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lost = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)

        def lose() -> None:
            wait_for(lambda: any(moment.done > 1 for moment in simulation.moments))
            lost.close()

        thread = threading.Thread(target=lose)
        thread.start()
        with pytest.raises(MvdError, match="was lost"):
            simulation.run(scheduler=lost.scheduler_address)
        thread.join()
    begun = sum(simulation.attempts().values())
    assert begun < 40
    wait_for(lambda: not list(making(simulation.folder)))
    assert {cell.status for cell in simulation.run(resume=True).cells} == {"done"}
    assert sum(simulation.attempts().values()) <= 41
