"""mvd's own export to LiteRT, in int8."""

from pathlib import Path

from benchmarks.baselines.mvd_export import ALLOWED_INT8, export
from benchmarks.baselines.session import main
from benchmarks.baselines.ways.litert import NEEDS as NEEDS
from benchmarks.baselines.ways.litert import load
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "mvd LiteRT int8"
ABOUT = "mvd export --to litert --precision int8 on 8 structured images, verified; LiteRT"
ALLOWED = ALLOWED_INT8


def build(model: LoadedModel, folder: Path) -> Path:
    """Calibrates, exports and verifies."""
    return export(model, "litert", "int8", folder)


if __name__ == "__main__":
    main(load)
