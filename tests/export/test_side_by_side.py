"""Several targets of one export, side by side in processes and one after the other."""

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export import side_by_side
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.runners.reference import Computed
from mobilevit_deploy.system.hashing import sha256_of
from mobilevit_deploy.system.side_by_side import CAN_FORK, Line
from mobilevit_deploy.targets.onnx import convert

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="one after the other where a process cannot be forked safely")

MODEL = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, 5))
"""


@pytest.fixture
def request_of(tmp_path: Path) -> ExportRequest:
    (tmp_path / "small.py").write_text(MODEL, encoding="utf-8")
    model = ModelRequest(name=f"{tmp_path / 'small.py'}:small", size=(32, 32))
    return ExportRequest(model=model, targets=("coreml", "onnx"), folder=tmp_path / "out")


def digests(folder: Path) -> dict[str, str]:
    """Returns the content of all artifacts; reports tell times."""
    files = (item for item in folder.rglob("*") if item.is_file() and not item.name.endswith((".json", ".md")))
    return {str(item.relative_to(folder)): sha256_of(item) for item in files}


def test_the_files_are_the_same_as_one_after_the_other(request_of: ExportRequest, tmp_path: Path) -> None:
    lines: list[str] = []
    beside = export_model(replace(request_of, jobs=2), lines.append)
    after = export_model(replace(request_of, folder=tmp_path / "after"))
    assert [report.artifact.target for report in beside] == [report.artifact.target for report in after]
    assert [report.artifact.target for report in beside] == ["coreml", "onnx"]
    assert digests(tmp_path / "out") == digests(tmp_path / "after") != {}
    assert [report.parity.status for report in beside] == ["passed", "passed"]
    assert {line.place for line in lines if isinstance(line, Line)} == {0, 1}
    assert set(beside[0].seconds) == set(after[0].seconds)


def test_what_the_fork_computes_is_what_files_are_compared_with(
    request_of: ExportRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is wrong, PyTorch's own float32 is as far from it as the files, and that is said."""
    compute = side_by_side._compute

    def spoiled(model: LoadedModel) -> Computed:
        return {key: [output * 1.001 for output in outputs] for key, outputs in compute(model).items()}

    def found(jobs: int) -> list[bool]:
        reports = export_model(replace(request_of, jobs=jobs))
        return [report.parity.ill_conditioned is not None for report in reports]

    assert found(2) == [False, False]
    monkeypatch.setattr(side_by_side, "_compute", spoiled)
    assert found(2) == [True, True]
    assert found(1) == [False, False]


def test_a_process_that_is_killed_leaves_nothing(request_of: ExportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_request: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(convert, "convert", end)
    with pytest.raises(ConversionError, match="onnx: its process ended by SIGKILL") as raised:
        export_model(replace(request_of, jobs=2))
    assert "--jobs 1" in str(raised.value.hint)
    assert raised.value.exit_code == 1
    assert not request_of.folder.exists()


def test_a_target_that_is_refused_is_told_as_alone(request_of: ExportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_request: object) -> None:
        raise ConversionError("the exporter refused the graph", "give another opset")

    monkeypatch.setattr(convert, "convert", refuse)
    told = []
    for jobs in (1, 2):
        with pytest.raises(ConversionError) as raised:
            export_model(replace(request_of, jobs=jobs))
        told.append((raised.value.message, raised.value.hint))
    assert told[0] == told[1]
    assert not request_of.folder.exists()


@pytest.mark.parametrize(
    ("cores", "free_gib", "weights_gib", "jobs"), [(8, 64, 0, 3), (2, 64, 0, 2), (8, 20, 1, 2), (8, 5, 1, 1)]
)
def test_cores_and_memory_bound_how_many_run(
    monkeypatch: pytest.MonkeyPatch, cores: int, free_gib: int, weights_gib: int, jobs: int
) -> None:
    seen: list[int] = []

    class Memory:
        available = free_gib * 2**30

    def run(tasks: list[Callable[..., Any]], at_once: int, _tell: object) -> Iterable[Any]:
        seen.append(at_once)
        return tasks

    monkeypatch.setattr(side_by_side, "available_cores", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    monkeypatch.setattr(side_by_side, "run_side_by_side", run)
    exports: Any = dict.fromkeys(("onnx", "coreml", "litert"), lambda _tell: None)
    side_by_side.export_targets(exports, weights_gib * 2**30, None, lambda _line: None)
    assert (seen or [1]) == [jobs]
