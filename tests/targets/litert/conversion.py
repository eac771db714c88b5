"""Small models on their way to a ``.tflite`` file, for the tests of this folder."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.litert.runner import LiteRTRunner
from mobilevit_deploy.targets.quantization import Calibration, Quantization

IMAGES = make_samples(8, 3, 16, 16)
RULE = QuantizationRule(op_types=("CONV_2D", "FULLY_CONNECTED"), reason="a test")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.GELU(), nn.Flatten(), nn.Linear(8 * 196, 20)
    ).eval()


def request_of(
    path: Path,
    model: nn.Module | None = None,
    precision: Precision = "fp32",
    rule: QuantizationRule = RULE,
    scale: float = 1.0,
) -> ConversionRequest:
    x = torch.from_numpy(IMAGES[:1])
    captured = capture((model or network()).eval(), x, "classify")
    wanted = Quantization(rule, Calibration(scale * IMAGES, IMAGES, "images")) if precision == "int8" else None
    program, outputs = recapture(captured.graph, x), captured.outputs
    return ConversionRequest(
        program, x, captured.input, outputs, precision, None, {"mvd.model": "x"}, path, quantization=wanted
    )  # fmt: skip


def error_of(path: Path, model: nn.Module | None = None) -> float:
    """Returns how far a file is from PyTorch, over the largest value."""
    runner = LiteRTRunner(path)
    found = np.concatenate([runner.run(image[None])[0] for image in IMAGES])
    with torch.no_grad():
        expected = (model or network())(torch.from_numpy(IMAGES)).numpy()
    return float(np.abs(found - expected).max() / np.abs(expected).max())
