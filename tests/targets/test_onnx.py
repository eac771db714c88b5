"""ONNX conversion beside the whole road: onnxsim in its child process."""

import sys
from pathlib import Path

import pytest

from mobilevit_deploy.export import ExportRequest, export_model
from mobilevit_deploy.load import ModelRequest
from mobilevit_deploy.targets import onnx as onnx_target
from tests.conftest import RESEARCH

REQUEST = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(32, 32))

WORKERS = {
    "crashed (exit -11)": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "failed or changed the outputs: ValueError: bad graph": "raise ValueError('bad graph')",
    "wrote no file": "input()",
    "did not finish in 1 s": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("reason", WORKERS)
def test_a_simplifier_that_fails_costs_only_the_simplification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(onnx_target, "SIMPLIFIER", (sys.executable, "-c", WORKERS[reason]))
    monkeypatch.setattr(onnx_target, "SIMPLIFY_TIMEOUT_S", 1 if "finish" in reason else 60)
    (report,) = export_model(ExportRequest(REQUEST, ("onnx",), folder=tmp_path))
    assert report.warnings == (f"onnxsim {reason}; the file is valid, but not simplified",)
    assert report.parity.status == "passed"
    assert len(list(tmp_path.iterdir())) == 2, "only the artifact and its report"
