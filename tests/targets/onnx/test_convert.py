"""ONNX conversion beside the whole road: onnxsim in its child process."""

import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.onnx import convert as onnx_target
from mobilevit_deploy.targets.onnx.module_paths import read_path, write_path
from tests.conftest import RESEARCH

REQUEST = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(32, 32))

MASKED = """
import torch

class Masked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mask, self.bias = (torch.nn.Parameter(torch.rand(3, 1, 1)) for _ in range(2))

    def forward(self, x):
        return {"mask": x * self.mask, "bias": x.sin() + self.bias}
"""

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
    assert len(list(tmp_path.iterdir())) == 3, "only the artifact, its report and its card"


def test_products_of_one_tensor_stay_apart(tmp_path: Path) -> None:
    """Queries, keys and values that a rewrite took apart are not merged and cut again."""
    (report,) = export_model(
        ExportRequest(ModelRequest(f"{RESEARCH / 'window_net.py'}:build"), ("onnx",), folder=tmp_path)
    )
    assert "Split" not in report.artifact.ops


def test_an_output_may_be_called_like_a_parameter(tmp_path: Path) -> None:
    code = tmp_path / "masked.py"
    code.write_text(MASKED)
    (report,) = export_model(ExportRequest(ModelRequest(f"{code}:Masked", size=(16, 16)), ("onnx",), folder=tmp_path))
    assert [output.name for output in report.outputs] == ["mask", "bias"]
    assert report.parity.status == "passed"


NAMED = """
import torch
from torch import nn

class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.anchors = nn.Conv2d(3, 4, 3), nn.Parameter(torch.rand(4, 4))

    def forward(self, x):
        y = self.conv(x)
        return {"conv2d": y.softmax(1), "softmax": y.mean((2, 3)), "boxes": self.anchors, "shared": self.anchors + 1}
"""


@pytest.mark.parametrize("runtime", [None, "onnxruntime-cpu"])
def test_an_output_may_be_called_like_an_operation_and_may_be_a_parameter(tmp_path: Path, runtime: str | None) -> None:
    code = tmp_path / "named.py"
    code.write_text(NAMED, encoding="utf-8")
    model = ModelRequest(f"{code}:Named", size=(16, 16))
    (report,) = export_model(ExportRequest(model, ("onnx",), folder=tmp_path / "out", app=AppOptions(runtime=runtime)))
    names = [output.name for output in onnx.load(str(report.artifact.path)).graph.output]
    assert names == ["conv2d", "softmax", "boxes", "shared"]
    assert report.parity.status == "passed"


def model_of(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0]) for name in ("proj.bias", "one")]
    return helper.make_model(helper.make_graph(nodes, "g", [], [], weights))


def test_nodes_that_the_simplifier_made_get_the_module_of_what_they_replace() -> None:
    plain = [
        helper.make_node("Add", ["x", "one"], ["norm"], name="add"),
        helper.make_node("MatMul", ["norm", "w"], ["product"], name="matmul"),
        helper.make_node("Add", ["product", "proj.bias"], ["sum"], name="add_1"),
        helper.make_node("Add", ["sum", "one"], ["y"], name="add_2"),
    ]
    for node, path in zip(plain, ["block.norm", "block.proj", "block.proj", "block"], strict=True):
        write_path(node, path)
    simplified = model_of(
        helper.make_node("Add", ["x", "one"], ["norm"], name="add"),
        helper.make_node("Reshape", ["norm", "one"], ["_v_1"], name="Reshape_0"),
        helper.make_node("Gemm", ["_v_1", "_v_2", "proj.bias"], ["_v_3"], name="Gemm_1"),
        helper.make_node("Add", ["_v_3", "one"], ["y"], name="add_2"),
    )
    onnx_target._restore_module_paths(simplified, model_of(*plain))
    # The bias is read in one module only; the constant is read in two, so it tells nothing.
    assert [read_path(node) for node in simplified.graph.node] == ["block.norm", "block.proj", "block.proj", "block"]
