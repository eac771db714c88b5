"""LSTM layers as operations of an ML Program, and GRUs, which have none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.runners.base import Reading
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreml import convert as coreml
from mobilevit_deploy.targets.coreml import recurrent, runner
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.lowering import takes
from tests.conftest import capture_model
from tests.rewrites.conftest import Of, randomise
from tests.targets.coreml.conversion import LIMIT, error_of

LAYERS = {
    "plain": nn.LSTM(9, 5),
    "both directions": nn.LSTM(9, 5, batch_first=True, bidirectional=True),
    "two layers": nn.LSTM(9, 5, 2, bidirectional=True),
    "two layers ahead": nn.LSTM(9, 5, 2, batch_first=True),
    "no bias": nn.LSTM(9, 5, bias=False),
}


def with_states(m: Any, x: Tensor) -> Any:
    outputs, (hidden, cell) = m.layer(x[0])
    again, _ = m.layer(x[0] * 2, (hidden.abs(), cell * 0.5))  # states that are computed
    return outputs, hidden, cell, again


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_one_operation(name: str, tmp_path: Path) -> None:
    assert error_of(Of(with_states, layer=LAYERS[name]), tmp_path, rewrite=True) < LIMIT
    kinds = [operation.kind for operation in coreml.read_operations(tmp_path / "ops.mlpackage")]
    assert kinds.count("lstm") == 2 * LAYERS[name].num_layers


def package(folder: Path, precision: str = "fp32", module: nn.Module | None = None) -> tuple[Path, nn.Module, Tensor]:
    x = torch.linspace(-1, 1, 4 * 8 * 9).reshape(1, 4, 8, 9)
    if module is None:
        module = Of(with_states, layer=nn.LSTM(9, 5, 2, batch_first=True)).eval()
        randomise(module)
    captured = capture(module, x, "classify")
    path = folder / "net.mlpackage"
    given: Any = (recapture(captured.graph, x), x, captured.input, captured.outputs, precision, 16, {}, path)
    artifact = coreml.convert(ConversionRequest(*given))
    assert artifact.ops["lstm"] == 4, "two layers, called twice"
    assert sum(artifact.ops.values()) < 40
    return path, module, x


def error(path: Path, module: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        expected = module(x)
    return max(float(abs(a - b.numpy()).max()) for a, b in zip(MilRunner(path).run(x.numpy()), expected, strict=True))


def test_in_half_precision(tmp_path: Path) -> None:
    assert error(*package(tmp_path, "fp16")) < 2e-3


def test_its_weights_stay_in_float32_where_its_values_are_looked_at(tmp_path: Path) -> None:
    half, module, x = package(tmp_path, "fp16")
    full = tmp_path / "full"
    full.mkdir()
    paths: dict[Reading, tuple[Path, Path | None]] = {
        "unrounded": (half, None),
        "rounded constants": (package(full, module=module)[0], half),
    }
    values = {
        reading: {
            item.name: item.value for item in runner.observe(path, None, x.numpy(), reading, like) if item.op == "lstm"
        }
        for reading, (path, like) in paths.items()
    }
    assert values["unrounded"]
    for name, value in values["unrounded"].items():
        # 20 times float32's own rounding of what is at most 1; with the weights rounded nine of ten are further off.
        np.testing.assert_allclose(value, values["rounded constants"][name], atol=2e-6, rtol=0)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 1, 0, 2)])
def test_another_order_of_the_gates_is_noticed(
    order: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent, "ORDER", order)
    assert error(*package(tmp_path)) > 1e-2


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("layer", [nn.LSTM(9, 5, proj_size=3), nn.GRU(9, 5), nn.RNN(9, 5)])
def test_what_has_no_operation_is_taken_apart(layer: nn.Module, tmp_path: Path) -> None:
    module = Of(lambda m, x: m.layer(x[0])[0], layer=layer)
    nodes = capture_model(module, 1, 4, 8, 9).graph.nodes
    assert [op_name(node) for node in nodes if op_name(node) in ("lstm", "gru", "rnn_tanh") and takes(node)] == []
    assert error_of(module, tmp_path, rewrite=True) < LIMIT
