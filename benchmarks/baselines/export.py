"""The plain exports that other ways start from."""

import warnings
from pathlib import Path

import torch

from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.loading.model import LoadedModel

OPSET = 18  # the exporter's default


def example(model: LoadedModel) -> torch.Tensor:
    """Returns the input that models are traced with, of the model's shape (B, C, H, W)."""
    return torch.randn(model.input_shape, generator=torch.Generator().manual_seed(0))


def export_dynamo(model: LoadedModel, path: Path) -> Path:
    """Writes torch.onnx.export's file."""
    with quiet_torch(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.module, (example(model),), path, dynamo=True, opset_version=OPSET, external_data=False, verbose=False
        )
    return path


def export_torchscript(model: LoadedModel, path: Path) -> Path:
    """Writes the file of the older exporter, which traces."""
    with quiet_torch(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.module, (example(model),), path, dynamo=False, opset_version=OPSET, verbose=False)
    return path
