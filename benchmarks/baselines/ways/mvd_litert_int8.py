"""mvd's own export to LiteRT, in int8; ranges change no time, so the structured images do for calibration."""

from pathlib import Path

from benchmarks.baselines.session import main
from benchmarks.baselines.ways.litert import NEEDS as NEEDS
from benchmarks.baselines.ways.litert import load
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest

ORDER = 13
TITLE = "mvd LiteRT int8"
ABOUT = "mvd export --to litert --precision int8, verified; LiteRT"
ALLOWED = 0.2  # the int8 tolerance


def build(model: LoadedModel, folder: Path) -> Path:
    """Exports and verifies."""
    request = ModelRequest(model.name, size=model.input_shape[2:], batch=model.input_shape[0])
    (report,) = export_model(
        ExportRequest(request, ("litert",), precision="int8", calibrate=Path("structured"), folder=folder)
    )
    return report.artifact.path


if __name__ == "__main__":
    main(load)
