"""One small model, exported and measured once; the tests change copies of its reports."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.measurement.latency import LatencyReport, LatencyRequest, measure_latency
from mobilevit_deploy.measurement.latency.document import latency_document
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.system.json_text import dumps
from tests.conftest import RESEARCH
from tests.report.sample import Sample


@pytest.fixture(scope="session")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one exported ONNX file and its report."""
    folder = tmp_path_factory.mktemp("real") / "artifacts"
    model = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(32, 32))
    export_model(ExportRequest(model, ("onnx",), folder=folder))
    return folder


@pytest.fixture(scope="session")
def real_latency(real_folder: Path) -> LatencyReport:
    (artifact,) = real_folder.glob("*.onnx")
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1, pin="none"))
    return report


@pytest.fixture(scope="session")
def real_reports(real_folder: Path, real_latency: LatencyReport) -> tuple[dict[str, Any], dict[str, Any]]:
    """The export's report and the measurement's, as they are on disk."""
    (path,) = real_folder.glob("*.onnx.json")
    return json.loads(path.read_text()), json.loads(dumps(latency_document(real_latency)))


@pytest.fixture
def sample(tmp_path: Path, real_reports: tuple[dict[str, Any], dict[str, Any]]) -> Sample:
    return Sample(tmp_path / "artifacts", *real_reports)
