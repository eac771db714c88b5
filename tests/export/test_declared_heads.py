"""Models with heads of their own, exported by a declaration: files decide what PyTorch does, and say by which."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from typer.testing import Result

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH
from tests.support.schemas import check, read

Mvd = Callable[..., Result]
CODE, HEADS = RESEARCH / "own_heads.py", RESEARCH / "heads"
SIZE = (48, 64)


def request(name: str, output: Output | None = None) -> ModelRequest:
    declaration = catalog.head_declaration(HEADS / f"{name}.toml")
    head = HeadOptions(output, declaration=declaration)
    return ModelRequest(f"{CODE}:{name}", declaration.task, size=SIZE, head=head)


def export(name: str, folder: Path, target: str = "onnx", output: Output | None = None) -> ExportReport:
    (report,) = export_model(ExportRequest(request(name, output), (target,), folder=folder))
    assert report.parity.status == "passed", report.parity.reason
    return report


@pytest.mark.slow
def test_detections_in_a_file(mvd: Mvd) -> None:
    asked = (f"{CODE}:fcos", "--task", "detect", "--head", HEADS / "fcos.toml", "--input-size", "48x64")
    result = mvd("export", *asked, "--to", "onnx", "--max-detections", 15, "--json")
    assert result.exit_code == 0, result.stderr
    (report,) = read("export", result.stdout)["artifacts"]
    check("export-report", json.dumps(report))
    head = report["head"]
    assert (head["name"], head["output"], head["num_classes"]) == ("own", "nms", 3)
    assert head["suppression"]["max_detections"] == 15
    assert json.loads(head["declaration"])["objectness"]["combine"] == "geometric mean"
    model = onnx.load(report["path"])
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(report["path"])
    image = make_samples(1, 3, *SIZE)
    found = dict(zip([item.name for item in session.get_outputs()], session.run(None, {"input": image}), strict=True))
    assert 5 < found["count"].item() <= 15
    with torch.no_grad():
        scores = load_model(request("fcos", "boxes")).module(torch.from_numpy(image))["scores"]
    assert found["scores"][0, 0] == pytest.approx(scores.max().item(), abs=1e-6)
    compared = mvd("compare", report["path"], report["path"], "--seconds", 1, "--threads", 1)
    assert compared.exit_code == 0, compared.output
    assert "detections have no distance: mvd verify matches them" in " ".join(compared.output.split())
    wrong = mvd("verify", report["path"])
    assert wrong.exit_code == 1
    assert "mvd runs no code that a file names" in " ".join(wrong.stderr.split())
    assert mvd("verify", report["path"], "--model", f"{CODE}:fcos").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "output"), [
    ("ssd", "onnx", "nms"),
    ("ssd", "onnx", "raw"),
    ("yolo", "onnx", "nms"),
    ("segmenter", "onnx", "labels"),
    ("segmenter", "onnx", "logits"),
    ("ssd", "coreml", "nms"),
    ("fcos", "coreml", "nms"),
    ("yolo", "coreml", "boxes"),
    ("segmenter", "coreml", "labels"),
    ("fcos", "executorch", "boxes"),
    ("segmenter", "executorch", "labels"),
])  # fmt: skip
def test_targets_and_outputs(name: str, target: str, output: Output, tmp_path: Path) -> None:
    report = export(name, tmp_path, target, output)
    verified = verify_artifact(VerifyRequest(report.artifact.path, model=f"{CODE}:{name}"))
    assert verified.parity.status == "passed"


@pytest.mark.slow
def test_own_outputs_and_names(tmp_path: Path) -> None:
    assert [item.name for item in export("ssd", tmp_path, output="raw").outputs] == ["cls_logits", "bbox_regression"]
    assert [item.name for item in export("yolo", tmp_path, output="raw").outputs] == ["output0", "output1"]
    report = export("segmenter", tmp_path)
    metadata = {entry.key: entry.value for entry in onnx.load(report.artifact.path).metadata_props}
    assert json.loads(metadata["mvd.classes"]) == ["road", "tree", "sky"]
