"""mvd's int8 export; ranges change no time, so the structured images do for calibration."""

from pathlib import Path

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest

ORDER = 11
TITLE = "mvd int8"
ABOUT = "mvd quantize, verified; ONNX Runtime"
ALLOWED = 0.2  # the int8 tolerance: untrained weights, of which rounding to 8 bits leaves less than of trained ones


def build(model: LoadedModel, folder: Path) -> Path:
    """Calibrates, exports and verifies."""
    request = ModelRequest(model.name, size=model.input_shape[2:], batch=model.input_shape[0])
    (report,) = export_model(
        ExportRequest(request, ("onnx",), precision="int8", calibrate=Path("structured"), folder=folder)
    )
    return report.artifact.path
