"""mvd's int8 export."""

from pathlib import Path

from benchmarks.baselines.mvd_export import ALLOWED_INT8, export
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "mvd int8"
ABOUT = "mvd quantize on 8 structured images, verified; ONNX Runtime"
ALLOWED = ALLOWED_INT8


def build(model: LoadedModel, folder: Path) -> Path:
    """Calibrates, exports and verifies."""
    return export(model, "onnx", "int8", folder)
