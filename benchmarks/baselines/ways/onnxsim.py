"""The naive export, simplified by onnxsim."""

import subprocess
import sys
from pathlib import Path

from benchmarks.baselines.ways import naive
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "+ onnxsim"
ABOUT = "the naive export through onnxsim; ONNX Runtime"
NEEDS = ("onnxsim",)


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the simplified file; onnxsim runs in a process of its own, for it may crash."""
    path = folder / "simplified.onnx"
    command = [sys.executable, "-m", "onnxsim", naive.build(model, folder), path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path
