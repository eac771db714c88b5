"""The naive export, made slimmer by onnxslim."""

import subprocess
import sys
from pathlib import Path

from benchmarks.baselines.ways import naive
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "+ onnxslim"
ABOUT = "the naive export through onnxslim; ONNX Runtime"
NEEDS = ("onnxslim",)


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the slimmer file."""
    path = folder / "slim.onnx"
    command = [sys.executable, "-m", "onnxslim", naive.build(model, folder), path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path
