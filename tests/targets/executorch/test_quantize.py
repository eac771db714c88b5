"""Int8 by XNNPACK's quantizer: which layers, by which images, and what wrong ranges do."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import Result

from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import ConversionError, UsageError
from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.targets.artifact import Artifact, ConversionRequest
from mobilevit_deploy.targets.executorch import convert as executorch
from mobilevit_deploy.targets.executorch.quantize import quantize
from mobilevit_deploy.targets.executorch.runner import ExecuTorchRunner
from mobilevit_deploy.targets.quantization import Calibration, Quantization
from tests.conftest import RESEARCH
from tests.rewrites.conftest import Of

IMAGES = make_samples(8, 3, 16, 16)
RULE = QuantizationRule(op_types=("Conv", "Gemm"), reason="a test")
NET = f"{RESEARCH / 'tiny_net.py'}:build"


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.Flatten(), nn.Linear(8 * 196, 20)
    ).eval()


def request_of(
    path: Path, rule: QuantizationRule = RULE, scale: float = 1.0, model: nn.Module | None = None
) -> ConversionRequest:
    x = torch.from_numpy(IMAGES[:1])
    captured = capture(model or network(), x, "classify")
    wanted = Quantization(rule, Calibration(scale * IMAGES, IMAGES, "images"))
    program = recapture(captured.graph, x)
    return ConversionRequest(
        program, x, captured.input, captured.outputs, "int8", None, {}, path, quantization=wanted
    )  # fmt: skip


def error_of(artifact: Artifact, model: nn.Module | None = None) -> float:
    runner = ExecuTorchRunner(artifact.path)
    found = np.concatenate([runner.run(image[None])[0] for image in IMAGES])
    with torch.no_grad():
        expected = (model or network())(torch.from_numpy(IMAGES)).numpy()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_layers_become_int8(tmp_path: Path) -> None:
    (steps := tmp_path / "steps").mkdir()
    artifact = executorch.convert(replace(request_of(tmp_path / "a.pte"), intermediates=steps))
    assert artifact.quantization is not None
    assert artifact.bytes < artifact.quantization.bytes_before, "no float32 weight is left beside its int8 form"
    assert artifact.quantization.quantized == {"Conv": 2, "Gemm": 1}
    assert artifact.warnings == (), "the pairs at the border are XNNPACK's too"
    layers = [item for item in executorch.read_operations(artifact.path) if item.kind in ("Conv2d", "FullyConnected")]
    assert {item.inputs[1].dtype for item in layers} == {"int8"}
    assert error_of(artifact) < 0.05  # 8 bits of each of three layers


def test_a_layer_that_several_maps_share(tmp_path: Path) -> None:
    """Such as a detector's head: the runtime refused to load the file."""
    torch.manual_seed(0)
    parts = {"down": nn.Conv2d(3, 4, 3, 2, 1), "head": nn.Conv2d(4, 5, 3, 1, 1)}

    def levels(m: Any, x: torch.Tensor) -> torch.Tensor:
        maps = [m.down(x), m.down(x + 1).relu(), m.down(2 * x).relu()]
        return torch.cat([m.head(item).flatten(2) for item in maps], 2)

    module = Of(levels, **parts).eval()
    artifact = executorch.convert(request_of(tmp_path / "a.pte", model=module))
    assert artifact.quantization is not None
    assert artifact.quantization.quantized["Conv"] == 6
    assert error_of(artifact, module) < 0.05  # as of the network above


def test_wrong_ranges_are_seen(tmp_path: Path) -> None:
    """Ranges that a hundredth of each image was measured on cut off the rest: above the recipe's tolerance of 0.2."""
    assert error_of(executorch.convert(request_of(tmp_path / "a.pte", scale=0.01))) > 0.2


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"keep_float": ("0",)}, {"Conv": 1, "Gemm": 1}),
        ({"op_types": ("MatMul",)}, {"Gemm": 1}),
        ({"smallest_weight": 200}, {"Conv": 1, "Gemm": 1}),
    ],
)
def test_a_rule_is_kept(tmp_path: Path, change: dict[str, object], counts: dict[str, int]) -> None:
    _, result = quantize(request_of(tmp_path / "a.pte", RULE.model_copy(update=change)), None)
    assert result.quantized == counts


@pytest.mark.parametrize(("keep_float", "count"), [((), 1), (("",), 0)])
def test_a_concatenation_that_is_kept_is_in_float32(tmp_path: Path, keep_float: tuple[str, ...], count: int) -> None:
    """XNNPACK's quantizer asks its filter about all operations but these: boxes in pixels were rounded to 8 bits."""
    torch.manual_seed(0)
    module = Of(lambda m, x: torch.cat([m.first(x), m.first(x + 1)], 1), first=nn.Conv2d(3, 4, 3, 2, 1)).eval()
    request = request_of(tmp_path / "a.pte", RULE.model_copy(update={"keep_float": keep_float}), model=module)
    _, result = quantize(request, None)
    assert (result.quantized.get("Concat", 0), result.left.get("Concat", 0)) == (count, 1 - count)
    assert result.quantized["Conv"] == 2


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="nothing to quantise"):
        quantize(request_of(tmp_path / "a.pte", RULE.model_copy(update={"op_types": ("Concat",)})), None)
    request = request_of(tmp_path / "a.pte")
    assert request.quantization is not None
    with pytest.raises(UsageError, match="ONNX only"):
        quantize(replace(request, quantization=replace(request.quantization, sensitivity=True)), None)


def test_the_command(mvd: Callable[..., Result]) -> None:
    to = ("export", NET, "--input-size", 32, "--to", "executorch", "--precision", "int8")
    assert mvd(*to).exit_code == 2, "without images"
    result = mvd(*to, "--calibrate", "structured", "--json")
    assert result.exit_code == 0, result.stderr
    (report,) = json.loads(result.stdout)["artifacts"]
    legs = {leg["subject"]: leg["precision"] for leg in report["parity"]["legs"]}
    assert legs == {
        **{"rewritten graph": "fp32", "float32 conversion": "fp32", "artifact": "int8"},
        "int8 graph, unrounded": "fp32",
    }
    assert Path(report["path"]).name == "tiny_net_build-32x32-int8.untrained.pte"
