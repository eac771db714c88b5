"""``mvd sweep`` with real exports of a tiny network: on the pool and on a cluster, with every form of the result."""

import json
import os
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.sweep import _count, _time
from mobilevit_deploy.report.matrix.record import Cell
from mobilevit_deploy.report.page.folder import read_folder
from mobilevit_deploy.sweep import attempt
from mobilevit_deploy.sweep.make import make_cell
from mobilevit_deploy.sweep.run import Moment
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.system.json_text import dumps
from tests.conftest import RESEARCH
from tests.support.schemas import check
from tests.support.warm_worker import warm
from tests.sweep.conftest import Simulation, half_written

Mvd = Callable[..., Result]
REAL = """
retries = 0
[matrix]
models = ["tiny_net.py:build"]
targets = ["coreml", "onnx"]
sizes = [8]
[[adjust]]
target = "coreml"
limits = { max_bytes = 100 }
"""


@pytest.fixture
def warm_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes real cells in forks of one process: each engine would import for itself."""
    with warm("sweep") as command:
        monkeypatch.setattr(attempt, "WORKER", command)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("warm_worker")
def test_a_sweep_of_real_exports_is_the_same_on_a_cluster(mvd: Mvd, tmp_path: Path, scheduler: str) -> None:
    shutil.copy(RESEARCH / "tiny_net.py", tmp_path)
    Path("sweep.toml").write_text(REAL)
    options = ("--junit", "junit.xml", "--markdown", "a.md")
    done = mvd("sweep", "sweep.toml", "--jobs", 1, "--json", "--out", "pool", *options)
    assert done.exit_code == 3, done.stderr
    cells = check("sweep", done.stdout)["cells"]
    assert "size: " in cells[0]["reason"]
    assert [cell["status"] for cell in cells] == ["failed", "done"]
    for cell in cells:
        artifact = Path("pool") / cell["artifact"]
        assert cell["sha256"] == measure_files(artifact)[0]
        assert [item.state for item in read_folder(artifact.parent).artifacts] == ["present"]
        assert cell["id"] in (Path("pool") / cell["page"]).read_text()
        assert "converting" in (Path("pool") / cell["log"]).read_text()
        assert json.loads((Path("pool") / cell["report"]).read_text())["path"] == artifact.name
    assert half_written(Path("pool")) == []
    root = ElementTree.parse("junit.xml").getroot()
    gates = str(sum(len(cell["gates"]) for cell in cells))
    assert (root.get("name"), root.get("tests"), root.get("failures")) == ("mvd sweep", gates, "1")
    assert "1 missed" in Path("a.md").read_text()
    again = mvd("sweep", "sweep.toml", "--scheduler", scheduler, "--json", "--out", "cluster", "--baseline", "pool")
    assert again.exit_code == 3, again.stderr
    assert [cell["sha256"] for cell in json.loads(again.stdout)["cells"]] == [cell["sha256"] for cell in cells]


@pytest.mark.usefixtures("given_times")
def test_a_cell_is_an_export_judged_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(RESEARCH / "tiny_net.py", tmp_path)
    np.savez("images.npz", images=np.zeros((4, 3, 8, 8), np.float32), labels=np.arange(4))
    limits = {"trained": True, "accuracy": {"images": str(tmp_path / "images.npz"), "max_drop": 0.0}}
    asked = {"model": "tiny_net.py:build", "to": "onnx", "name": "the cell", "input_size": [8, 8], "limits": limits}
    (tmp_path / "made").mkdir()
    found = make_cell(asked, {"threads": 1, "seconds": 0.1}, None, tmp_path, tmp_path / "made")
    cell = Cell.model_validate({"id": "a", "model": "a", "target": "onnx", **json.loads(dumps(found))})
    assert (cell.status, cell.reason) == ("failed", "trained: no checkpoint was given")
    assert [(gate.gate, gate.status) for gate in cell.gates] == [
        ("parity", "passed"),
        ("trained", "failed"),
        ("accuracy", "passed"),
    ]
    assert (cell.size, cell.precision, cell.parity) == ("8x8", "fp32", "passed")
    assert cell.accuracy is not None
    assert (cell.accuracy.pytorch, cell.accuracy.images) == (cell.accuracy.artifact, 4)
    assert cell.latency is not None
    assert cell.latency.p50 == pytest.approx(1.0, rel=0.01)
    assert cell.latency.threads == 1
    (artifact,) = read_folder(tmp_path / "made").artifacts
    assert (artifact.name, artifact.record.path) == (cell.artifact, cell.artifact)
    assert len(artifact.latencies) == 1
    assert "the cell" in (tmp_path / "made" / "report.html").read_text()
    assert " s  onnx: converting" in capsys.readouterr().out


def test_latency_of_a_phone_that_is_not_there_is_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(RESEARCH / "tiny_net.py", tmp_path)
    asked = {"model": "tiny_net.py:build", "to": "coreml", "name": "a", "input_size": [8, 8]}
    (tmp_path / "made").mkdir()
    found = make_cell(asked, {}, "iphone_12", tmp_path, tmp_path / "made")
    assert (found["status"], found["latency"]) == ("done", None)
    assert [(gate["gate"], gate["status"]) for gate in found["gates"]] == [
        ("parity", "passed"),
        ("latency", "undecided"),
    ]
    assert found["gates"][1]["reason"]


def test_the_document_has_its_form(mvd: Mvd, simulation: Simulation) -> None:
    simulation.write(2)
    done = mvd("sweep", simulation.file, "--json")
    assert done.exit_code == 0, done.stderr
    document = check("sweep", done.stdout)
    assert json.loads(Path("sweep/sweep.json").read_text()) == document
    assert document["counts"] == {"done": 2, "missed": 0, "error": 0, "waiting": 0}


def test_what_is_typed_wrong(mvd: Mvd, simulation: Simulation) -> None:
    simulation.write(1)
    for options, words in (
        (("--shard", "5/4"), "no part"),
        (("--shard", "x"), "no part"),
        (("--jobs", 2, "--scheduler", "tcp://a:1"), "--jobs"),
        (("--jobs", 0), "--jobs"),
        (("--out", "nothing://x"), "nothing here opens"),
    ):
        done = mvd("sweep", simulation.file, *options)
        assert done.exit_code == 2, done.output
        assert words in done.output
    done = mvd("sweep", simulation.file, "--baseline", simulation.folder)
    assert done.exit_code == 1
    assert "there is no sweep in" in done.output
    assert not simulation.out.exists()


def test_exit_codes_and_what_changed(mvd: Mvd, simulation: Simulation) -> None:
    simulation.write(3)
    first = mvd("sweep", simulation.file, "--out", "first")
    assert first.exit_code == 0, first.output
    assert "3 of 3 cells" in first.stderr
    fault = "options = { model_args = { failing = 9, how = 'convert' } }"
    simulation.write(4, "retries = 0", f"[[adjust]]\nmodel = '*:c0'\n{fault}\n[[exclude]]\nmodel = '*:c1'")
    options = ("--out", "second", "--baseline", "first", "--markdown", "second.md", "--junit", "second.xml")
    second = mvd("sweep", simulation.file, *options, "--jobs", 2)
    assert second.exit_code == 1
    assert "cells that could not be made: 1 of 3" in second.output
    (broken,) = [cell for cell in json.loads(Path("second/sweep.json").read_text())["cells"] if cell["reason"]]
    assert f"the converter refused; try another; log: {broken['log']}" in " ".join(second.stdout.split())
    assert (Path("second") / broken["log"]).is_file()
    text = Path("second.md").read_text()
    assert "2 done, 1 error" in text
    assert "done to failed" in text
    assert ": new" in text
    assert ": gone" in text
    assert "another file" not in text
    assert ElementTree.parse("second.xml").getroot().get("errors") == "1"
    assert mvd("sweep", simulation.file, "--collect", "--out", "third", "-q").exit_code == 1
    assert mvd("sweep", simulation.file, "--collect", "--out", "second/", "-q").stdout == "second/sweep.json\n"


def test_progress_on_a_terminal_says_what_runs_where(monkeypatch: pytest.MonkeyPatch) -> None:
    console.choose(console.Output())  # and not what an earlier command was asked for
    master, slave = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with open(slave, "w") as terminal, monkeypatch.context() as patch:  # noqa: PTH123 - a descriptor
        patch.setattr(sys, "stderr", terminal)
        with console.counter("cells") as tell:
            tell(
                console.Count(
                    4, 1, "1 failed, 9 min left", ["a onnx on big", "b onnx on mac"], "c onnx: failed: \x1bno"
                )
            )
    shown = ""
    with suppress(OSError):  # how Linux tells that the other end is closed, and all of it was read
        while part := os.read(master, 100_000):
            shown += part.decode()
    os.close(master)
    for text in ("1/4", "cells, 1 failed, 9 min left", "a onnx on big", "b onnx on mac", "c onnx: failed: ?no"):
        assert text in shown


def test_time_left_is_in_words() -> None:
    assert [_time(seconds) for seconds in (9.4, 600.0, 9000.0)] == ["9 s", "10 min", "2.5 h"]
    running = {f"cell {number}": "here" for number in range(20)}
    count = _count(Moment(30, 3, 2, running, 61.0, "x"))
    assert (count.done, count.state, count.line) == (5, "2 failed, 1 min left", "x, 1 min left")
    assert (len(count.running), count.running[-1]) == (9, "and 12 more")
