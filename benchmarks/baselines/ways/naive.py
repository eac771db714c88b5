"""What PyTorch's documentation tells people to do: the exporter's own defaults, and ONNX Runtime."""

from pathlib import Path

from benchmarks.baselines.export import export_dynamo
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "naive export"
ABOUT = "torch.onnx.export(dynamo=True, optimize=True) of the model as it is, opset 18; ONNX Runtime"


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the ONNX file that everything else is compared with, unless another way has done it in this folder."""
    path = folder / "naive.onnx"
    return path if path.exists() else export_dynamo(model, path)
