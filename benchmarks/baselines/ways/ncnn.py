"""ncnn, from TorchScript by pnnx."""

import subprocess
from pathlib import Path

import numpy as np
import torch

from benchmarks.baselines.export import example
from benchmarks.baselines.session import Predict, main
from mobilevit_deploy.load import LoadedModel
from mobilevit_deploy.runners import Array

ORDER = 7
TITLE = "ncnn"
ABOUT = "pnnx of the traced model, float32 storage and arithmetic"
NEEDS = ("ncnn", "pnnx")


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes ncnn's graph; its weights lie beside it."""
    import pnnx

    traced = folder / "traced.pt"
    with torch.no_grad():
        torch.jit.trace(model.module, example(model)).save(traced)
    shape = ",".join(map(str, model.input_shape))
    command = [pnnx.EXEC_PATH, traced, f"inputshape=[{shape}]", "fp16=0"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "traced.ncnn.param"


def load(path: Path, threads: int) -> Predict:
    """Loads the graph and its weights."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.load_param(str(path))
    net.load_model(str(path.with_suffix(".bin")))

    def predict(batch: Array) -> list[Array]:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(batch[0]))
        _, found = extractor.extract("out0")
        return [np.array(found)[None]]

    return predict


if __name__ == "__main__":
    main(load)
