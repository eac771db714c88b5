"""mvd's own export."""

from pathlib import Path

from mobilevit_deploy.export.export import Clock, export_one
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare

TITLE = "mvd"
ABOUT = "mvd export --to onnx, verified; ONNX Runtime"


def build(model: LoadedModel, folder: Path) -> Path:
    """Exports and verifies."""
    report = export_one(plan_target(TargetRequest("onnx")), prepare(model), folder, Clock())
    if report.parity.status != "passed":
        raise ValueError(f"parity {report.parity.status}")
    return report.artifact.path
