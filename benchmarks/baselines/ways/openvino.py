"""OpenVINO, from PyTorch by its own converter."""

from pathlib import Path

import torch

from benchmarks.baselines.export import example
from benchmarks.baselines.session import Predict, main
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "OpenVINO"
ABOUT = "openvino.convert_model of the model as it is, float32, latency hint"
NEEDS = ("openvino",)


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes OpenVINO's file, unless another way has done it in this folder; its weights lie beside it."""
    import openvino

    path = folder / "openvino.xml"
    if not path.exists():
        with torch.no_grad():
            converted = openvino.convert_model(model.module, example_input=example(model), input=[model.input_shape])
        openvino.save_model(converted, path, compress_to_fp16=False)
    return path


def load(path: Path, threads: int) -> Predict:
    """Compiles the file for this machine."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda batch: [request.infer({0: batch}, share_inputs=True)[0]]


if __name__ == "__main__":
    main(load)
