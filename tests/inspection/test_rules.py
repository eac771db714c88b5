"""Each rule fires where it should and not where it should not; readers of three formats."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import Result

from mobilevit_deploy.catalog.formats import formats, installed_targets
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.inspection import inspect_artifact
from mobilevit_deploy.targets.operations import Operation, Shape, Tensor
from mobilevit_deploy.targets.registry import rules_of
from mobilevit_deploy.targets.rules import check
from tests.conftest import RESEARCH
from tests.support.schemas import check as check_document

Mvd = Callable[..., Result]


def operation(kind: str, shape: Shape, result: Shape, before: str = "float16", after: str = "float16") -> Operation:
    return Operation(kind, "net.layer", (Tensor(shape, before),), (Tensor(result, after),))


FIRES = {
    "onnx": {
        "shape_computation": operation("Shape", (4, 4), (2,)),
        "float32_island": operation("Cast", (4, 4), (4, 4), after="float32"),
    },
    "coreml": {
        "rank_above_5": operation("reshape", (4, 4), (1, 2, 2, 2, 2, 1)),
        "gather": operation("gather_along_axis", (4, 4), (2, 4)),
        "shape_computation": operation("shape", (4, 4), (2,)),
        "dynamic_shape": operation("conv", ("N", 3, 8, 8), ("N", 3, 8, 8)),
        "float32_island": operation("cast", (4, 4), (4, 4), after="float32"),
        "cpu_only": operation("topk", (4, 4), (4, 2)),
        "large_fp16_reduction": operation("reduce_mean", (1, 32, 56, 56), (1, 1, 1, 1)),
    },
    "executorch": {
        "outside_xnnpack": operation("aten::native_layer_norm.out", (4, 4), (4, 4)),
        "rank_above_6": operation("StaticReshape", (4, 4), (1, 2, 2, 2, 2, 1, 1)),
    },
    "coreai": {
        "not_in_core_ai": operation("max_pool3d", (1, 8, 8, 4), (1, 4, 4, 4)),
        "narrowed": operation("add", (4, 4), (4, 4), after="int64"),
    },
    "litert": {
        "outside_xnnpack": operation("CAST", (1, 8, 8, 4), (1, 8, 8, 4), "float32", "float32"),
        "outside_gpu": operation("TRANSPOSE", (1, 2, 2, 2, 2), (1, 2, 2, 2, 2), "float32", "float32"),
        "outside_npu": operation("FLOOR", (1, 8, 8, 4), (1, 8, 8, 4), "float32", "float32"),
    },
}


def test_every_rule_is_tested_and_has_a_source() -> None:
    rules = {target: rules_of(target) for target in formats()}
    assert {target: set(fires) for target, fires in FIRES.items()} == {
        target: {rule.name for rule in found} for target, found in rules.items()
    }
    assert all(rule.source for found in rules.values() for rule in found)


@pytest.mark.parametrize(("target", "name"), [(target, name) for target, fires in FIRES.items() for name in fires])
def test_a_rule_fires_alone_and_names_the_module(target: str, name: str) -> None:
    (finding,) = check([FIRES[target][name]], rules_of(target))
    assert (finding.rule, finding.at) == (name, "net.layer")
    assert finding.source


def test_six_axes_are_within_xnnpack() -> None:
    harmless = operation("StaticReshape", (4, 4), (1, 2, 2, 2, 2, 1))
    assert check([harmless], rules_of("executorch")) == []


@pytest.mark.parametrize(
    "harmless",
    [
        operation("reshape", (4, 4), (1, 2, 2, 2, 2)),
        operation("reduce_mean", (1, 32, 45, 45), (1, 1, 1, 1)),  # 64,800 values, just below the limit
        operation("layer_norm", (1, 4096, 64), (1, 4096, 64)),
        operation("instance_norm", (1, 4, 200, 200), (1, 4, 200, 200)),
        operation("cast", (4, 4), (4, 4), before="float32"),
        Operation("cast", "logits", (Tensor((4,), "float16"),), (Tensor((4,), "float32"),), last=True),
    ],
)
def test_harmless_operations(harmless: Operation) -> None:
    assert check([harmless], rules_of("coreml")) == []


def test_onnx_files_of_any_origin(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"], name="the_shape"), helper.make_node("Relu", ["x"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy")
    s = helper.make_tensor_value_info("s", TensorProto.INT64, [2])
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y, s])), tmp_path / "net.onnx")
    inspection = inspect_artifact(tmp_path / "net.onnx")
    assert inspection.ops == {"Shape": 1, "Relu": 1}
    assert [(finding.rule, finding.at) for finding in inspection.findings] == [("shape_computation", "the_shape")]


def test_what_else_a_target_says(mvd: Mvd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"minimum_runtime": "1.16"}
    monkeypatch.setattr("mobilevit_deploy.targets.onnx.convert.read_facts", lambda path: facts, raising=False)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    assert "minimum runtime: 1.16" in mvd("inspect", tmp_path / "net.onnx").stdout
    result = mvd("inspect", tmp_path / "net.onnx", "--json")
    assert check_document("inspect", result.stdout)["inspections"][0]["facts"] == facts


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken.onnx", "is no ONNX file"),
        ("none.onnx", "is no artifact"),
        ("net.tflite", "is no artifact"),
        ("broken.mlpackage", "has no Manifest.json, so it is not a Core ML package"),
        ("older.mlpackage", "is a neuralNetwork model, not an ML Program"),
    ],
)
def test_what_is_no_artifact(tmp_path: Path, name: str, message: str) -> None:
    if name == "broken.onnx":
        (tmp_path / name).write_bytes(b"\x08\xff" * 20)
    if name == "broken.mlpackage":
        (tmp_path / name).mkdir()
    if name == "older.mlpackage":
        write_neural_network(tmp_path / name)
    with pytest.raises(MvdError, match=message):
        inspect_artifact(tmp_path / name)


def write_neural_network(path: Path) -> None:
    """Writes a package in the format before ML Programs, whose operations nothing here reads."""
    from coremltools.proto import Model_pb2

    (path / "Data").mkdir(parents=True)
    manifest = {"itemInfoEntries": {"root": {"path": "net.mlmodel"}}, "rootModelIdentifier": "root"}
    (path / "Manifest.json").write_text(json.dumps(manifest))
    specification = Model_pb2.Model()
    specification.neuralNetwork.SetInParent()
    (path / "Data" / "net.mlmodel").write_bytes(specification.SerializeToString())


@pytest.mark.parametrize(
    "targets", [("onnx", "coreml"), pytest.param((), marks=pytest.mark.slow)], ids=["two targets", "the whole of them"]
)
def test_a_model_and_its_artifacts(mvd: Mvd, targets: tuple[str, ...]) -> None:
    net = f"{RESEARCH / 'additive_net.py'}:build"
    to = [part for target in targets for part in ("--to", target)]
    result = mvd("inspect", net, "--input-size", 32, *to, "--strict", "--json")
    assert result.exit_code == 0, result.stderr
    views = {view["target"]: view for view in json.loads(result.stdout)["inspections"]}
    assert set(views) == set(targets or installed_targets())
    onnx_view, coreml_view = views["onnx"], views["coreml"]
    assert onnx_view["ops_before"]["batch_norm"] == 6
    assert "batch_norm" not in onnx_view["ops_after"]
    assert onnx_view["ops"]["Gelu"] == coreml_view["ops"]["gelu"] == 1
    assert mvd("export", net, "--input-size", 32, "--to", "onnx", "--to", "coreml").exit_code == 0
    for artifact in Path("artifacts").glob("*.[om][nl]*"):
        if artifact.suffix in (".onnx", ".mlpackage"):
            shown = mvd("inspect", artifact)
            assert shown.exit_code == 0
            assert "no findings" in shown.stdout


def test_strict_is_exit_3_and_names_the_module(mvd: Mvd, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class Pick(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x[:, :, torch.tensor([0, 2, 1])].mean((2, 3))\n\n\n"
        "def build():\n    return nn.Sequential(nn.Conv2d(3, 4, 1), Pick())\n"
    )
    plain = mvd("inspect", f"{tmp_path}/net.py:build", "--input-size", 8, "--to", "coreml")
    assert plain.exit_code == 0, plain.stderr
    assert "gather" in plain.stdout
    strict = mvd("inspect", f"{tmp_path}/net.py:build", "--input-size", 8, "--to", "coreml", "--strict", "--json")
    assert strict.exit_code == 3
    findings = check_document("inspect", strict.stdout)["inspections"][0]["findings"]
    assert ("gather", "1") in {(finding["rule"], finding["at"]) for finding in findings}
