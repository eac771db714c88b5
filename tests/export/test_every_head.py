"""All heads on the smallest model of every family, and on the targets that take what they return."""

from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from tests.conftest import small_heads

HEADS: tuple[Task, ...] = ("segment", "detect")
SMALLEST = ("cas_vit_xs", "cloformer_xxs", "lightvit_tiny", "saevit_0p8g")
WHOLE = [(name, task) for name in SMALLEST for task in HEADS if task in catalog.tasks_of(catalog.model(name))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [pytest.param(*case, id=".".join(case)) for case in WHOLE])
def test_every_family(name: str, task: Task, tmp_path: Path) -> None:
    request = ModelRequest(name, task, size=(64, 96), num_classes=7)
    (report,) = export_model(ExportRequest(request, ("onnx",), folder=tmp_path))
    assert (report.parity.status, report.parity.reason) == ("passed", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALLEST if "instances" in catalog.tasks_of(catalog.model(name))])
def test_instances_of_every_family(name: str, tmp_path: Path) -> None:
    with small_heads():  # the whole ones take 65 billion multiply-accumulates for each image, however small it is
        request = ModelRequest(name, "instances", size=(64, 96), num_classes=7)
        (report,) = export_model(ExportRequest(request, ("onnx",), folder=tmp_path))
    assert (report.parity.status, report.parity.reason) == ("passed", None)


@pytest.mark.slow
@pytest.mark.usefixtures("pyramid")
@pytest.mark.parametrize(
    ("task", "output"), [("segment", "labels"), ("segment", "logits"), ("detect", "boxes"), ("instances", "raw")]
)
def test_executorch(task: Task, output: Output, tmp_path: Path) -> None:
    request = ModelRequest("cas_vit_xs", task, size=(64, 64), num_classes=5, head=HeadOptions(output))
    (report,) = export_model(ExportRequest(request, ("executorch",), folder=tmp_path))
    assert (report.parity.status, report.parity.reason) == ("passed", None)


@pytest.mark.slow
@pytest.mark.usefixtures("pyramid")
@pytest.mark.parametrize(("task", "output"), [("segment", "labels"), ("detect", "nms"), ("instances", "nms")])
def test_half_precision(task: Task, output: Output, tmp_path: Path) -> None:
    request = ModelRequest("cas_vit_xs", task, size=(64, 64), num_classes=5, head=HeadOptions(output))
    (report,) = export_model(ExportRequest(request, ("onnx",), precision="fp16", folder=tmp_path))
    assert (report.parity.status, report.parity.reason) == ("passed", None)
