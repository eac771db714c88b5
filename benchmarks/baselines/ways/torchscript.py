"""The exporter that most tutorials still use."""

from pathlib import Path

from benchmarks.baselines.export import export_torchscript
from mobilevit_deploy.loading.model import LoadedModel

TITLE = "TorchScript exporter"
ABOUT = "torch.onnx.export(dynamo=False), opset 18; ONNX Runtime"


def build(model: LoadedModel, folder: Path) -> Path:
    """Writes the ONNX file of the tracing exporter."""
    return export_torchscript(model, folder / "torchscript.onnx")
