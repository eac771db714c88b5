"""An export as ``mvd export`` makes it: what mvd's own ways but the first have in common."""

from pathlib import Path

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.quantization import STRUCTURED

ALLOWED_INT8 = 0.2  # int8's tolerance: rounding to 8 bits leaves less of untrained weights than of trained ones


def export(model: LoadedModel, target: str, precision: str, folder: Path) -> Path:
    """Exports a classifier and verifies the file; int8 is calibrated on structured images: ranges change no time."""
    request = ModelRequest(model.name, size=model.input_shape[2:], batch=model.input_shape[0])
    calibrate = Path(STRUCTURED) if precision == "int8" else None
    (report,) = export_model(ExportRequest(request, (target,), precision=precision, calibrate=calibrate, folder=folder))
    return report.artifact.path
