"""MNN, from the naive export by its own converter."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.baselines.session import Predict, main
from benchmarks.baselines.ways import naive
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.runners.base import Array

TITLE = "MNN"
ABOUT = "mnnconvert of the naive export, float32, high precision"
NEEDS = ("MNN",)


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes MNN's file."""
    path = folder / "mnn.mnn"
    options = ["-f", "ONNX", "--modelFile", naive.build(model, folder), "--MNNModel", path, "--bizCode", "benchmark"]
    command = [Path(sys.executable).parent / "mnnconvert", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def load(path: Path, threads: int) -> Predict:
    """Loads the file for a session on the CPU."""
    import MNN

    net = MNN.Interpreter(str(path))
    session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    given, found = net.getSessionInput(session), net.getSessionOutput(session)

    def predict(batch: Array) -> list[Array]:
        given.copyFrom(MNN.Tensor(batch.shape, MNN.Halide_Type_Float, batch, MNN.Tensor_DimensionType_Caffe))
        net.runSession(session)
        scores = np.empty(found.getShape(), np.float32)
        copied = MNN.Tensor(scores.shape, MNN.Halide_Type_Float, scores, MNN.Tensor_DimensionType_Caffe)
        found.copyToHostTensor(copied)
        return [np.array(copied.getNumpyData())]

    return predict


if __name__ == "__main__":
    main(load)
