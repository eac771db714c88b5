"""mvd's own export to LiteRT."""

from pathlib import Path

from benchmarks.baselines.mvd_export import export
from benchmarks.baselines.session import main
from benchmarks.baselines.ways.litert import NEEDS as NEEDS
from benchmarks.baselines.ways.litert import load
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "mvd LiteRT"
ABOUT = "mvd export --to litert, verified; LiteRT"


def build(model: LoadedModel, folder: Path) -> Path:
    """Exports and verifies."""
    return export(model, "litert", "fp32", folder)


if __name__ == "__main__":
    main(load)
