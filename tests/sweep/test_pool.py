"""Sweeps on this machine: what fails is tried again, costs nothing else, and has its log."""

import errno
import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.sweep import attempt, pool
from mobilevit_deploy.system import side_by_side
from tests.sweep.conftest import Simulation, by_id, digests, half_written


def workers() -> list[psutil.Process]:
    """Returns the processes that make cells which are still there."""
    return [process for process in psutil.Process().children(recursive=True) if "simulated" in str(process.cmdline())]


def test_every_cell_is_made_once(simulation: Simulation) -> None:
    simulation.write(5)
    sweep = simulation.run()
    assert {cell.status for cell in sweep.cells} == {"done"}
    assert simulation.attempts() == {f"c{number}": 1 for number in range(5)}
    assert half_written(simulation.out) == []
    cell = sweep.cells[0]
    assert cell.artifact is not None
    assert hashlib.sha256((simulation.out / cell.artifact).read_bytes()).hexdigest() == cell.sha256
    assert (simulation.out / Path(cell.artifact).parent / "net.mlpackage" / "two").stat().st_size == cell.bytes
    assert cell.log is not None
    assert "simulated" in (simulation.out / cell.log).read_text()
    assert json.loads((simulation.out / "sweep.json").read_text())["counts"]["done"] == 5
    assert (simulation.moments[-1].done, simulation.moments[-1].left_s) == (5, 0)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("abort", "ended by SIGABRT"),
        ("kill", "ended by SIGKILL"),
        ("kill worker", "the process that makes cells ended"),
        ("hang", "not finished in 0.5 s"),
        ("full", "No space left"),
        ("convert", "the converter refused"),
    ],
)
def test_a_fault_costs_an_attempt_or_the_cell(simulation: Simulation, how: str, reason: str) -> None:
    """Of three cells the first fails once, the second always, and the last never."""
    fail = [f"model_args = {{ failing = {failing}, how = '{how}' }}" for failing in (1, 9)]
    adjust = "".join(f"[[adjust]]\nmodel = '*:c{i}'\noptions = {{ {text} }}\n" for i, text in enumerate(fail))
    limit = "time_limit = 0.5" if how == "hang" else ""
    simulation.write(3, f"retries = 1\n{limit}", adjust)
    found = list(simulation.run().cells)
    assert [cell.status for cell in found] == ["done", "failed", "done"]
    assert [cell.attempts for cell in found] == [2, 2, 1]
    assert reason in found[1].reason
    assert found[1].log is None or "simulated" in (simulation.out / found[1].log).read_text()
    assert simulation.attempts() == {"c0": 2, "c1": 2, "c2": 1}
    assert "begun again" in simulation.lines()
    assert workers() == []


def test_a_crash_has_its_place_in_the_log(simulation: Simulation) -> None:
    simulation.write(1, "retries = 0", options="{ failing = 9, how = 'abort' }")
    (cell,) = simulation.run().cells
    assert cell.log is not None
    assert "in _fail" in (simulation.out / cell.log).read_text()


def test_what_is_there_is_not_made_again(simulation: Simulation) -> None:
    simulation.write(3)
    first = simulation.run()
    simulation.write(4)
    assert digests(first).items() <= digests(simulation.run()).items()
    assert simulation.attempts() == {f"c{number}": 1 for number in range(4)}
    damaged = next((simulation.out / "cells").glob("*/cell.json"))
    damaged.write_text("[" * 100_000)
    simulation.run()
    assert sum(simulation.attempts().values()) == 5


def test_other_content_is_another_cell(simulation: Simulation) -> None:
    simulation.write(2)
    simulation.run()
    (simulation.folder / "sim.py").write_text("import beside\n")
    simulation.run()
    (simulation.folder / "beside.py").write_text("a = 1\n")
    simulation.run()
    (simulation.folder / "elsewhere.py").write_text("a = 1\n")
    simulation.run()
    assert simulation.attempts() == {"c0": 3, "c1": 3}
    simulation.write(2, options="{ seconds = 0.001 }")
    simulation.run()
    assert simulation.attempts() == {"c0": 4, "c1": 4}


def test_cells_that_need_a_quiet_machine_run_alone(simulation: Simulation) -> None:
    beside = "[[adjust]]\nmodel = '*:c0'\noptions = { model_args = { beside = 'c3', spans = 1 } }"
    quiet = "[[adjust]]\nmodel = '*:c[12]'\nneeds = { QUIET = 1 }"
    simulation.write(4, matrix=f"{beside}\n{quiet}", options="{ seconds = 0.1, spans = 1 }")
    sweep = simulation.run()
    assert {cell.id: cell.status for cell in sweep.cells} == {f"sim.py:c{number} onnx": "done" for number in range(4)}
    spans = {path.stem: tuple(map(float, path.read_text().split())) for path in simulation.folder.glob("*.span")}
    for name in ("c1", "c2"):
        others = [span for other, span in spans.items() if other != name]
        assert len(others) == 3
        assert all(end <= spans[name][0] or spans[name][1] <= start for start, end in others)


def test_a_disk_that_is_full_fails_cells_and_says_so(simulation: Simulation) -> None:
    """A limit on the size of files is refused where a full disk is: in the middle of a write."""
    import resource

    simulation.write(2, "retries = 0")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # less than an artifact, more than a record
    try:
        sweep = simulation.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert all("File too large" in cell.reason for cell in sweep.cells)
    assert not list(simulation.out.rglob("net.*"))
    assert {cell.status for cell in simulation.run().cells} == {"done"}
    assert half_written(simulation.out) == []


def test_shards_make_all_and_are_collected(simulation: Simulation) -> None:
    simulation.write(5)
    parts = [simulation.run(shard=(number, 2)) for number in (1, 2)]
    assert [len(part.cells) for part in parts] == [3, 2]
    assert not (simulation.out / "sweep.json").exists()
    sweep = simulation.run(collect=True)
    assert {cell.status for cell in sweep.cells} == {"done"}
    assert sum(simulation.attempts().values()) == 5
    assert digests(sweep) == digests(parts[0]) | digests(parts[1])


def test_collecting_tells_what_failed_and_what_is_not_there(simulation: Simulation) -> None:
    simulation.write(
        4, "retries = 0", "[[adjust]]\nmodel = '*:c0'\noptions = { model_args = { failing = 9, how = 'abort' } }"
    )
    simulation.run(shard=(1, 2))
    found = by_id(simulation.run(collect=True))
    assert [cell.status for cell in found.values()] == ["failed", "waiting", "done", "waiting"]
    assert "SIGABRT" in found["sim.py:c0 onnx"].reason


def test_a_sweep_that_did_not_end_is_gone_on_with_only_if_asked(simulation: Simulation) -> None:
    simulation.write(3)

    def stop(moment: object) -> None:
        if getattr(moment, "done", 0) == 1:
            raise KeyboardInterrupt

    simulation.moments = type("Stopping", (list,), {"append": staticmethod(stop)})()
    with pytest.raises(KeyboardInterrupt):
        simulation.run()
    left = json.loads((simulation.out / "sweep.json").read_text())
    assert (left["made"], left["counts"]["done"]) == ("", 1)
    simulation.moments = []
    with pytest.raises(OutputError, match="has not ended") as refused:
        simulation.run()
    assert "--resume" in str(refused.value.hint)
    assert not list(simulation.out.rglob("failed.json")), "what was interrupted has not failed"
    assert {cell.status for cell in simulation.run(resume=True).cells} == {"done"}
    assert {cell.status for cell in simulation.run().cells} == {"done"}
    done = next(name for name, count in simulation.attempts().items() if count == 1)
    assert done


def test_the_folder_of_another_sweep_is_refused(simulation: Simulation) -> None:
    simulation.write(1, "name = 'first'")
    simulation.run()
    simulation.write(1, "name = 'second'")
    with pytest.raises(OutputError, match="holds the sweep 'first'"):
        simulation.run(resume=True)
    (simulation.out / "sweep.json").write_text('{"name": 3}')
    with pytest.raises(OutputError, match=r"sweep\.json in .* cannot be read") as refused:
        simulation.run()
    assert "--resume" in str(refused.value.hint)
    assert [cell.status for cell in simulation.run(resume=True).cells] == ["done"]


def test_a_url(simulation: Simulation) -> None:
    import fsspec

    simulation.write(2)
    url = f"memory://{simulation.folder.name}"
    sweep = simulation.run(out=url)
    assert {cell.status for cell in sweep.cells} == {"done"}
    files = fsspec.filesystem("memory")
    assert sweep.cells[0].artifact is not None
    assert hashlib.sha256(files.cat(f"{url}/{sweep.cells[0].artifact}")).hexdigest() == sweep.cells[0].sha256
    simulation.run(out=url)
    assert simulation.attempts() == {"c0": 1, "c1": 1}


def test_where_nothing_can_be_forked_a_process_makes_one_cell(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "CAN_FORK", False)
    monkeypatch.setenv("MVD_TEST_WITHOUT_FORK", "1")
    fault = "options = { model_args = { failing = 1, how = 'abort' } }"
    simulation.write(3, "retries = 1", f"[[adjust]]\nmodel = '*:c0'\n{fault}")
    sweep = simulation.run()
    assert [(cell.status, cell.attempts) for cell in sweep.cells] == [("done", 2), ("done", 1), ("done", 1)]
    pids = {line for path in (simulation.folder / "begun").iterdir() for line in path.read_text().split()}
    assert len(pids) == 4
    assert half_written(simulation.out) == []


def test_no_room_for_a_process_costs_attempts_alone(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter(range(2))

    class Refused(attempt.Host):
        def __init__(self, *given: Any) -> None:
            if next(refusals, None) is not None:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().__init__(*given)

    monkeypatch.setattr(pool, "Host", Refused)
    simulation.write(3, "retries = 2")
    assert {cell.status for cell in simulation.run().cells} == {"done"}
    assert "No space left on device; begun again" in simulation.lines()
