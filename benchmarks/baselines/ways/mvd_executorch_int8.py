"""mvd's own export to ExecuTorch, in int8."""

from pathlib import Path

from benchmarks.baselines.mvd_export import ALLOWED_INT8, export
from benchmarks.baselines.session import main
from benchmarks.baselines.ways.executorch import NEEDS as NEEDS
from benchmarks.baselines.ways.executorch import load
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "mvd ExecuTorch int8"
ABOUT = "mvd export --to executorch --precision int8 on 8 structured images, verified; ExecuTorch"
ALLOWED = ALLOWED_INT8


def build(model: LoadedModel, folder: Path) -> Path:
    """Calibrates, exports and verifies."""
    return export(model, "executorch", "int8", folder)


if __name__ == "__main__":
    main(load)
