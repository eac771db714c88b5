"""mvd's own export to LiteRT."""

from pathlib import Path

from benchmarks.baselines.session import main
from benchmarks.baselines.ways.litert import NEEDS as NEEDS
from benchmarks.baselines.ways.litert import load
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest

ORDER = 12
TITLE = "mvd LiteRT"
ABOUT = "mvd export --to litert, verified; LiteRT"


def build(model: LoadedModel, folder: Path) -> Path:
    """Exports and verifies."""
    request = ModelRequest(model.name, size=model.input_shape[2:], batch=model.input_shape[0])
    (report,) = export_model(ExportRequest(request, ("litert",), precision="fp32", folder=folder))
    return report.artifact.path


if __name__ == "__main__":
    main(load)
