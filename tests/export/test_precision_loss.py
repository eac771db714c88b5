"""What a precision costs: information with random weights, a refusal with trained ones, unless it is allowed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from typer.testing import Result

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.runners.rounded_graph import store_weights
from mobilevit_deploy.targets.registry import describe_file
from mobilevit_deploy.verification import own_loss
from mobilevit_deploy.verification.differences import OutputDifference
from mobilevit_deploy.verification.leg import UNROUNDED, Leg
from mobilevit_deploy.verification.precision_loss import accept_loss
from tests.conftest import RESEARCH, capture_model
from tests.support.schemas import check as check_document
from tests.targets.coreml.mil.conftest import body_of, edit_model

NET = f"{RESEARCH / 'half_nets.py'}:build_cancelling"
Mvd = Callable[..., Result]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "trained.pth"
    torch.save(load_model(ModelRequest(NET, size=(32, 32))).module.state_dict(), path)
    return path


def written(folder: Path) -> Path:
    (package,) = folder.glob("*.mlpackage")
    return package


def make_relu(model: Any) -> None:
    gelu = next(item for item in body_of(model).operations if item.type == "gelu")
    gelu.type = "relu"
    del gelu.inputs["mode"]


def test_with_random_weights_it_is_information(mvd: Mvd, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = mvd("export", NET, "--to", "coreml", "--input-size", 32, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    parity = check_document("export", result.stdout)["artifacts"][0]["parity"]
    assert parity["precision_loss"]["accepted"] == "untrained weights"
    (leg,) = [leg for leg in parity["legs"] if leg["subject"] == "artifact"]
    assert (leg["allowance"], leg["reasons"]) == ("precision", [])
    assert "of the largest value, more than 2e-02" in leg["beyond_tolerance"][0]
    # PyTorch, rounding where the file rounds, loses as much: within a factor of 4, which is 12 dB, for luck.
    assert parity["precision_loss"]["own_snr_db"] == pytest.approx(parity["precision_loss"]["snr_db"], abs=12)
    assert provenance.parse(describe_file(written(out)).metadata, "file").allow_precision_loss is False  # type: ignore[union-attr]
    result = mvd("verify", written(out), "--model", NET)
    assert result.exit_code == 0, result.stderr
    assert "conversion exact; half precision costs more" in " ".join(result.stdout.split())
    edit_model(written(out), make_relu)
    assert mvd("verify", written(out), "--model", NET).exit_code == 3, "a wrong op is no cost of half precision"


def test_with_trained_weights_it_is_refused_unless_allowed(mvd: Mvd, tmp_path: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    command = ["export", NET, "--checkpoint", checkpoint, "--to", "coreml", "--input-size", 32, "--out", out]
    refused = mvd(*command)
    assert refused.exit_code == 3
    assert "the conversion is exact, and half precision costs that much" in refused.stderr
    assert "--allow-precision-loss writes the file as it is" in refused.stderr
    assert not out.exists()
    result = mvd(*command, "--allow-precision-loss")
    assert result.exit_code == 0, result.stderr
    metadata = dict(describe_file(written(out)).metadata)
    assert metadata["mvd.allow_precision_loss"] == "true"
    (report,) = out.glob("*.json")
    loss = json.loads(report.read_text())["parity"]["precision_loss"]
    assert loss["accepted"] == "--allow-precision-loss"
    verify = ["verify", written(out), "--model", NET, "--checkpoint", checkpoint]
    assert mvd(*verify).exit_code == 0

    def forget(model: Any) -> None:
        del model.description.metadata.userDefined["mvd.allow_precision_loss"]

    edit_model(written(out), forget)
    assert mvd(*verify).exit_code == 3, "only a file that says so is held to less"


def test_without_an_unrounded_leg_the_loss_is_held_to_what_pytorch_loses(mvd: Mvd, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["export", NET, "--to", "coreml", "--input-size", 32, "--keep-fp32", "head", "--out", out, "--json"]
    result = mvd(*command)
    assert result.exit_code == 0, result.stderr
    parity = check_document("export", result.stdout)["artifacts"][0]["parity"]
    assert parity["precision_loss"]["accepted"] == "untrained weights"
    assert "half precision, unrounded" in [leg["subject"] for leg in parity["not_run"]]
    assert mvd("verify", written(out), "--model", NET).exit_code == 0
    edit_model(written(out), make_relu)
    assert mvd("verify", written(out), "--model", NET).exit_code == 3


@pytest.mark.parametrize(("times", "exact"), [(3, True), (5, False)])
def test_a_loss_beyond_pytorchs_own_is_no_loss_of_rounding(times: float, *, exact: bool) -> None:
    own = OutputDifference("logits", 1.0, 1e-2, 15.0, None, 1.0)
    output = replace(own, max_rel=times * 1e-2, snr_db=15 - 20 * np.log10(times))
    tolerance = Tolerance(max_rel=1e-3, snr_db=20, top1_agreement=1, reason="test")
    leg = Leg(
        "artifact", "PyTorch", "mil", {}, "fp16", (8, 8), 8, (output,), tolerance, ("far",), own_loss=(own,), lossy=True
    )
    legs, loss = accept_loss([leg], "untrained weights")
    assert (loss is not None) == legs[0].passed == exact
    proof = replace(leg, subject=UNROUNDED, precision="fp32", reasons=(), lossy=False)
    assert accept_loss([leg, proof], "untrained weights")[0][0].passed, "proved without rounding, it may cost anything"
    assert not accept_loss([leg, proof], None)[0][0].passed
    wrong = replace(proof, reasons=("another program",))
    assert accept_loss([leg, wrong], "untrained weights") == ([leg, wrong], None)


SENSITIVE = f"{RESEARCH / 'half_nets.py'}:build_sensitive"
INT8 = ("--to", "onnx", "--precision", "int8", "--calibrate", "structured")
W8 = ("--to", "coreml", "--precision", "w8")


def scale_one_weight(path: Path) -> None:
    """Makes what the head is multiplied by a fifth larger, in an int8 ONNX file."""
    model = onnx.load(path)
    head = next(node for node in model.graph.node if node.op_type in ("Gemm", "MatMul"))
    (made,) = [node for node in model.graph.node if node.output[0] == head.input[1]]
    scale = next(item for item in model.graph.initializer if item.name == made.input[1])
    scale.CopyFrom(numpy_helper.from_array(1.2 * numpy_helper.to_array(scale), scale.name))
    onnx.save(model, path)


@pytest.mark.parametrize(("target", "precision"), [(INT8, "int8"), (W8, "w8")])
def test_so_it_is_of_int8_and_of_weights_in_few_bits(
    mvd: Mvd, tmp_path: Path, target: tuple[str, ...], precision: str
) -> None:
    out = tmp_path / "out"
    result = mvd("export", SENSITIVE, *target, "--input-size", 32, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    parity = check_document("export", result.stdout)["artifacts"][0]["parity"]
    assert parity["precision_loss"]["accepted"] == "untrained weights"
    assert parity["precision_loss"]["precision"] == precision
    (file,) = (path for path in out.iterdir() if path.suffix in (".onnx", ".mlpackage"))
    result = mvd("verify", file, "--model", SENSITIVE)
    assert result.exit_code == 0, result.stderr
    assert f"conversion exact; {precision} costs more" in " ".join(result.stdout.split())
    scale_one_weight(file) if precision == "int8" else edit_model(file, make_relu)
    assert mvd("verify", file, "--model", SENSITIVE).exit_code == 3, "a wrong file is no cost of a precision"


def test_with_trained_weights_int8_is_refused(mvd: Mvd, tmp_path: Path) -> None:
    torch.save(load_model(ModelRequest(SENSITIVE, size=(32, 32))).module.state_dict(), tmp_path / "trained.pth")
    given = ("--checkpoint", tmp_path / "trained.pth", "--input-size", 32, "--out", tmp_path / "out")
    result = mvd("export", SENSITIVE, *INT8, *given)
    assert result.exit_code == 3
    assert "the conversion is exact, and int8 costs that much" in result.stderr
    assert "--allow-precision-loss" not in result.stderr


def test_a_wrong_compression_is_no_cost_of_it(mvd: Mvd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def shifted(graph: Graph, bits: int, **settings: Any) -> Graph:
        return store_weights(graph, bits + 4, **settings)

    monkeypatch.setattr(own_loss, "store_weights", shifted)  # as if compression lost 4 bits more than it says
    assert mvd("export", SENSITIVE, *W8, "--input-size", 32, "--out", tmp_path / "out").exit_code == 3


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_on_a_grid(*, per_channel: bool) -> None:
    layer = torch.nn.Conv2d(16, 32, 3)
    with torch.no_grad():
        layer.weight[3] *= 100
    graph = capture_model(torch.nn.Sequential(layer, torch.nn.Conv2d(32, 2, 1)), 1, 16, 8, 8).graph
    stored = store_weights(graph, 8, per_channel=per_channel)
    for name, before in graph.weights.items():
        after = stored.weights[name]
        if before.shape != layer.weight.shape:
            assert torch.equal(before, after), "small weights are left"
            continue
        largest = before.abs().amax((1, 2, 3), keepdim=True) if per_channel else before.abs().max()
        assert (after - before).abs().max() > 0
        assert ((after - before).abs() <= 0.5001 * largest / 127).all()
        assert torch.allclose((after * 127 / largest).round(), after * 127 / largest, atol=1e-3)


def test_the_option_is_refused_where_it_would_do_nothing(mvd: Mvd) -> None:
    result = mvd("export", NET, "--to", "onnx", "--input-size", 32, "--allow-precision-loss")
    assert result.exit_code == 2
    assert "nothing here is half precision" in result.stderr


def test_values_beyond_half_precision_are_no_cost_of_it(mvd: Mvd) -> None:
    net = f"{RESEARCH / 'half_nets.py'}:build_overflow"
    result = mvd("export", net, "--to", "coreml", "--input-size", 32, "--allow-precision-loss")
    assert result.exit_code == 3
    assert "--keep-fp32" in result.stderr
