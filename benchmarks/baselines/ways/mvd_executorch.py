"""mvd's own export to ExecuTorch."""

from pathlib import Path

from benchmarks.baselines.mvd_export import export
from benchmarks.baselines.session import main
from benchmarks.baselines.ways.executorch import NEEDS as NEEDS
from benchmarks.baselines.ways.executorch import load
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "mvd ExecuTorch"
ABOUT = "mvd export --to executorch, verified; ExecuTorch"


def build(model: LoadedModel, folder: Path) -> Path:
    """Exports and verifies."""
    return export(model, "executorch", "fp32", folder)


if __name__ == "__main__":
    main(load)
