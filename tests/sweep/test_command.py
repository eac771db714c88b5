"""``mvd sweep`` with real exports of a tiny network: on the pool and on a cluster, with every form of the result."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from mobilevit_deploy.report.page.folder import read_folder
from mobilevit_deploy.system.hashing import measure_files
from tests.conftest import RESEARCH
from tests.support.schemas import check
from tests.sweep.conftest import Simulation, half_written

Mvd = Callable[..., Result]
REAL = """
retries = 0
[matrix]
models = ["tiny_net.py:build"]
targets = ["onnx", "coreml"]
sizes = [8]
[[adjust]]
target = "coreml"
limits = { max_bytes = 100 }
"""


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_exports: Path) -> Path:
    shutil.copy(RESEARCH / "tiny_net.py", tmp_path)
    (tmp_path / "sweep.toml").write_text(REAL)
    monkeypatch.setenv("MVD_CACHE", str(kept_exports))
    return tmp_path


def test_real_exports_are_the_same_on_a_cluster(mvd: Mvd, real: Path, scheduler: str) -> None:
    done = mvd(
        "sweep", "sweep.toml", "--jobs", 1, "--json", "--out", "pool", "--junit", "junit.xml", "--markdown", "a.md"
    )
    assert done.exit_code == 3, done.stderr
    document = check("sweep", done.stdout)
    onnx, coreml = document["cells"]
    assert (onnx["status"], coreml["status"]) == ("done", "failed")
    assert "size: " in coreml["reason"]
    for cell in (onnx, coreml):
        assert cell["sha256"] == measure_files(real / "pool" / cell["artifact"])[0]
        folder = (real / "pool" / cell["artifact"]).parent
        (artifact,) = read_folder(folder).artifacts
        assert artifact.state == "present"
        assert cell["id"] in (real / "pool" / cell["page"]).read_text()
        assert "converting" in (real / "pool" / cell["log"]).read_text()
        assert str(json.loads((real / "pool" / cell["report"]).read_text())["path"]) == Path(cell["artifact"]).name
    assert half_written(real / "pool") == []
    root = ElementTree.parse("junit.xml").getroot()
    assert (root.get("name"), root.get("tests"), root.get("failures")) == ("mvd sweep", "3", "1")
    assert "1 done, 1 missed" in Path("a.md").read_text()
    again = mvd("sweep", "sweep.toml", "--scheduler", scheduler, "--json", "--out", "cluster", "--baseline", "pool")
    assert again.exit_code == 3, again.stderr
    assert [cell["sha256"] for cell in json.loads(again.stdout)["cells"]] == [onnx["sha256"], coreml["sha256"]]


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
    assert "the converter refused; try another" in second.stdout
    text = Path("second.md").read_text()
    assert "2 done, 1 error" in text
    assert "was done, is error" in text
    assert ": new" in text
    assert ": gone" in text
    assert "another file" not in text
    assert ElementTree.parse("second.xml").getroot().get("errors") == "1"
    assert mvd("sweep", simulation.file, "--collect", "--out", "third", "-q").exit_code == 1
