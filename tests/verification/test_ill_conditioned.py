"""Models that lose their digits in float32: right files pass, and a wrong one is found below what is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import Result

from mobilevit_deploy.export.export import ParityFailedError, export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.onnx import convert as onnx_target
from mobilevit_deploy.verification.conditioning import FLOAT32_DB, find_loss
from mobilevit_deploy.verification.report import VerifyFailedError
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH
from tests.support.damage.forget import forget
from tests.support.schemas import check as check_document
from tests.targets.coreml.mil.conftest import body_of, edit_model

NETS = RESEARCH / "ill_conditioned_nets.py"
Mvd = Callable[..., Result]


def export(name: str, folder: Path, target: str = "onnx", **settings: Any) -> ExportReport:
    model = ModelRequest(f"{NETS}:build_{name}", size=(32, 32), task="features" if name in FEATURES else "classify")
    (report,) = export_model(ExportRequest(model, (target,), folder=folder, **settings))
    return report


FEATURES = ("labels", "chosen", "near")


def change_weight(path: Path, number: int, factor: float) -> None:
    """Scales one channel of a convolution's or linear layer's weight, counted from the first."""
    model = onnx.load(path)
    node = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")][number]
    weight = next(item for item in model.graph.initializer if item.name == node.input[1])
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3] *= np.float32(factor)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    forget(model)
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("name", "module", "op"), [("flat", "head", "linear"), ("gated", "head", "linear"), ("cancelling", "cancel", "add")]
)
def test_a_right_file_passes_and_the_place_is_named(name: str, module: str, op: str, tmp_path: Path) -> None:
    report = export(name, tmp_path)
    parity = report.parity
    assert parity.status == "passed"
    assert {leg.allowance for leg in parity.legs if leg.subject == "artifact"} == {"noise"}
    assert all(leg.beyond for leg in parity.legs if leg.subject == "artifact")
    assert [leg.passed for leg in parity.legs if leg.subject == "artifact, by operation"] == [True]
    place = parity.ill_conditioned
    assert place is not None
    assert (place.module, place.op) == (module, op)
    assert place.line.startswith("line ")
    assert place.snr_before_db > place.snr_after_db + 40
    found = verify_artifact(VerifyRequest(report.artifact.path, model=f"{NETS}:build_{name}"))
    assert (found.parity.status, found.parity.ill_conditioned) == ("passed", place), "as the export says"


@pytest.mark.parametrize("factor", [1.001, 1.1])
def test_a_wrong_weight_below_the_noise_is_found_by_its_operation(factor: float, tmp_path: Path, mvd: Mvd) -> None:
    path = export("flat", tmp_path).artifact.path
    change_weight(path, 1, factor)
    result = mvd("verify", path, "--model", f"{NETS}:build_flat", "--json")
    assert result.exit_code == 3
    document = check_document("verify", result.stdout)
    failed = [leg["subject"] for leg in document["parity"]["legs"] if not leg["passed"]]
    assert failed == ["artifact, by operation"], "the outputs alone would not tell"
    assert "conv2d of trunk.middle" in document["parity"]["reason"]


@pytest.mark.parametrize("target", ["onnx", "coreml"])
def test_behind_outputs_that_never_change_each_operation_is_looked_at(target: str, tmp_path: Path, mvd: Mvd) -> None:
    report = export("silent", tmp_path, target)
    assert report.parity.status == "passed"
    looked_at = [leg for leg in report.parity.legs if leg.subject.endswith(", by operation")]
    assert looked_at
    path = report.artifact.path
    request = VerifyRequest(path, model=f"{NETS}:build_silent")
    assert verify_artifact(request).parity.status == "passed", "as the export says"
    if target == "onnx":
        change_weight(path, 1, 1.001)
    else:
        edit_model(path, lambda model: make_relu(body_of(model)))
    result = mvd("verify", path, "--model", f"{NETS}:build_silent", "--json")
    assert result.exit_code == 3
    legs = {leg["subject"]: leg["passed"] for leg in json.loads(result.stdout)["parity"]["legs"]}
    whole = "artifact" if target == "onnx" else "half precision, unrounded"
    assert legs[whole], "the outputs do not tell"
    assert not legs[f"{whole}, by operation"]


def test_a_model_that_computes_nothing_is_exported(tmp_path: Path) -> None:
    """ONNX Runtime, asked for no value, returns every output: that ended the export."""
    assert export("constant", tmp_path).parity.status == "passed"


def test_what_is_larger_than_the_noise_is_found_by_the_outputs(tmp_path: Path) -> None:
    """Also where no operation can be looked at, as of a file that says nothing of its export."""
    path = export("cancelling", tmp_path).artifact.path
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    request = VerifyRequest(path, model=f"{NETS}:build_cancelling")
    report = verify_artifact(request)
    assert report.parity.status == "passed"
    assert "artifact, by operation" in [leg.subject for leg in report.parity.not_run]
    change_weight(path, 1, 1.003)
    with pytest.raises(VerifyFailedError, match="differs by"):
        verify_artifact(request)


@pytest.mark.parametrize("name", ["flat", "silent"])
def test_a_faulty_converter_is_caught_at_the_export(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_target._export

    def wrong(request: Any, path: Path) -> None:
        right(request, path)
        change_weight(path, 0, 1.001)

    monkeypatch.setattr(onnx_target, "_export", wrong)
    with pytest.raises(ParityFailedError, match=r"conv2d of trunk\.stem"):
        export(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_half_precision_of_an_ill_conditioned_model(tmp_path: Path) -> None:
    report = export("flat", tmp_path, "coreml")
    assert report.parity.status == "passed"
    loss = report.parity.precision_loss
    assert loss is not None
    assert loss.accepted == "untrained weights"
    path = report.artifact.path
    request = VerifyRequest(path, model=f"{NETS}:build_flat")
    assert verify_artifact(request).parity.precision_loss is not None
    edit_model(path, lambda model: make_relu(body_of(model)))
    with pytest.raises(VerifyFailedError, match="by operation"):
        verify_artifact(request)


def make_relu(body: Any) -> None:
    gelu = next(item for item in body.operations if item.type == "gelu")
    gelu.type = "relu"
    del gelu.inputs["mode"]


@pytest.mark.parametrize("name", ["labels", "chosen"])
def test_decisions_are_compared_and_a_wrong_one_is_caught(name: str, tmp_path: Path) -> None:
    report = export(name, tmp_path)
    assert report.parity.status == "passed"
    (leg, *_) = [leg for leg in report.parity.legs if leg.subject == "artifact"]
    if name == "labels":
        assert (leg.outputs, leg.decisions[0].agreement) == ((), 1)
        assert leg.decisions[0].unsure < 0.01
    path = report.artifact.path
    change_weight(path, 2, 1.01)
    with pytest.raises(
        VerifyFailedError, match="places where the reference is sure" if name == "labels" else "differs"
    ):
        verify_artifact(VerifyRequest(path, model=f"{NETS}:build_{name}"))


def test_where_rounding_decides_everything_nothing_is_measured(tmp_path: Path) -> None:
    report = export("near", tmp_path)
    assert report.parity.status == "not_measured"
    assert "rounding alone" in str(report.parity.reason)


def test_a_well_conditioned_model_keeps_its_digits() -> None:
    module = load_model(ModelRequest(f"{RESEARCH / 'small_net.py'}:build_narrow", size=(16, 16))).module
    images = make_samples(4, 3, 16, 16)
    for batch in (1, 4):
        place = find_loss(capture(module, torch.from_numpy(images[:batch]), "classify").graph, images, batch)
        assert place is not None
        assert FLOAT32_DB >= place.snr_before_db > place.snr_after_db > 100
