"""ncnn, from TorchScript by pnnx."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.baselines.export import example
from benchmarks.baselines.session import Predict, main
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.runners.base import Array

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
    if net.load_param(str(path)):
        kinds = (line.split()[0] for line in path.read_text().splitlines()[2:] if line.strip())
        foreign = sorted({kind for kind in kinds if "." in kind})  # what pnnx could not translate keeps PyTorch's name
        sys.exit(f"ncnn does not load what pnnx wrote, which keeps {', '.join(foreign) or 'an unknown layer'}")
    net.load_model(str(path.with_suffix(".bin")))

    def predict(batch: Array) -> list[Array]:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(batch[0]))
        _, found = extractor.extract("out0")
        return [np.array(found)[None]]

    return predict


if __name__ == "__main__":
    main(load)
