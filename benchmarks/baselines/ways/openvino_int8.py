"""OpenVINO in int8, quantized after training by NNCF, as its documentation shows it."""

from pathlib import Path

from benchmarks.baselines.mvd_export import ALLOWED_INT8
from benchmarks.baselines.session import main
from benchmarks.baselines.ways import openvino as float32
from benchmarks.baselines.ways.openvino import load
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline.prepare import structured_images

TITLE = "OpenVINO int8"
ABOUT = "nncf.quantize of OpenVINO's float32 file, on the 8 structured images of mvd int8; latency hint"
NEEDS = ("openvino", "nncf")
ALLOWED = ALLOWED_INT8


def build(model: LoadedModel, folder: Path) -> Path:
    """Calibrates, in the model's batches, on the images that mvd int8 has; the weights lie beside the file."""
    import nncf
    import openvino

    images, batch = structured_images(model), model.input_shape[0]
    batches = [images[start : start + batch] for start in range(0, len(images), batch)]
    plain = openvino.Core().read_model(float32.build(model, folder))
    path = folder / "openvino_int8.xml"
    openvino.save_model(nncf.quantize(plain, nncf.Dataset(batches)), path, compress_to_fp16=False)
    return path


if __name__ == "__main__":
    main(load)
