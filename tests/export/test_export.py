"""The whole road: export, verify, publish; on a trained checkpoint, on recorded weights, and on others' code."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from mobilevit_deploy.errors import CatalogError, CheckFailedError, ConversionError, MvdError, OutputError, UsageError
from mobilevit_deploy.export.export import ParityFailedError, export_model
from mobilevit_deploy.inspection import inspect_artifact
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.onnx import convert as onnx_target
from mobilevit_deploy.targets.onnx.module_paths import MODULE_PATH_KEY
from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy
from tests.conftest import RESEARCH, Digits
from tests.golden.digits import digit_images
from tests.support.recorded import Recorded, all_recorded

XS = ModelRequest("cas_vit_xs", size=(64, 64), num_classes=10)
LEFT_OVER = {"BatchNormalization", "Identity", "Constant", "Shape", "Gather", "Cast", "Dropout", "Slice", "Split"}


def run(path: Path, batch: Any) -> list[np.ndarray[Any, Any]]:
    return run_each(path, [batch])[0]


def run_each(path: Path, batches: Iterable[Any]) -> list[list[np.ndarray[Any, Any]]]:
    session = onnxruntime.InferenceSession(str(path))
    return [session.run(None, {session.get_inputs()[0].name: batch}) for batch in batches]


@pytest.fixture(scope="module")
def digits_export(digits: Digits, kept_exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("out")
    request = ModelRequest("cas_vit_xs", checkpoint=digits.checkpoint, size=(64, 64))
    return export_model(ExportRequest(request, ("onnx", "coreml"), folder=folder, cache=kept_exports))


def test_the_trained_checkpoint_keeps_its_accuracy(digits_export: Any, digits: Digits) -> None:
    images, labels = digit_images()
    path = digits_export[0].artifact.path
    found = np.concatenate([scores for (scores,) in run_each(path, images[:, None])]).argmax(1)
    module = load_model(ModelRequest("cas_vit_xs", checkpoint=digits.checkpoint, size=(64, 64))).module
    with torch.no_grad():
        expected = (
            torch.cat([module(torch.from_numpy(images[i : i + 50])) for i in range(0, len(images), 50)])
            .argmax(1)
            .numpy()
        )
    assert (found == expected).all()
    assert (found == labels).sum() == digits.correct


def test_files_and_report(digits_export: Any) -> None:
    onnx_report, coreml_report = digits_export
    folder = onnx_report.artifact.path.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "cas_vit_xs-64x64-fp16.coreml.json",
        "cas_vit_xs-64x64-fp16.coreml.md",
        "cas_vit_xs-64x64-fp16.mlpackage",
        "cas_vit_xs-64x64-fp32.onnx",
        "cas_vit_xs-64x64-fp32.onnx.json",
        "cas_vit_xs-64x64-fp32.onnx.md",
    ]
    document = json.loads((folder / "cas_vit_xs-64x64-fp32.onnx.json").read_text())
    assert document["weights"]["key"] == "model_ema"
    assert document["weights"]["not_loaded"] == [
        "model",
        "optimizer",
        "epoch",
        "scaler",
        "args",
    ]
    assert document["weights"]["not_read"] == ["1 object of argparse.Namespace"]
    assert document["parity"]["status"] == "passed"
    assert [leg["settings"] for leg in document["parity"]["legs"]] == [
        {},
        {"graph_optimization": "disabled"},
        {"graph_optimization": "all"},
    ]
    assert coreml_report.parity.status == "passed"
    graph, float32, half, unrounded = coreml_report.parity.legs
    assert (graph.subject, graph.runner) == ("rewritten graph", "torch")
    assert (float32.subject, float32.precision) == ("float32 conversion", "fp32")
    assert (half.subject, half.runner, half.precision) == ("artifact", "mil", "fp16")
    assert half.outputs[0].top1_agreement == 1
    # Half precision on the trained model; 20 dB is the tolerance, and weights of 8 bits alone leave 49 dB.
    assert half.outputs[0].snr_db > 35
    # With its rounding taken out, nothing is left between it and the float32 conversion of the same graph.
    assert unrounded.outputs[0].max_abs == 0
    assert (unrounded.reference, unrounded.precision) == ("float32, weights rounded", "fp32")


def test_metadata_says_where_it_came_from_and_holds_no_path(digits_export: Any, digits: Digits) -> None:
    path = digits_export[0].artifact.path
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["mvd.trained"] == "true"
    assert metadata["mvd.weights_sha256"] == digits_export[0].weights.sha256
    counts = (21, 56, 10) if digits.whole else (5, 14, 2)
    names = ("fuse_global_average", "fold_batch_norm", "split_convolution")
    assert json.loads(metadata["mvd.rewrites"]) == dict(zip(names, counts, strict=True))
    assert json.loads(metadata["mvd.preprocessing"])["mean"] == [0.485, 0.456, 0.406]
    assert "torch" in json.loads(metadata["mvd.tool_versions"])
    content = path.read_bytes()
    for folder in (digits.checkpoint.parent, path.parent, Path(__file__).parents[2], Path(torch.__file__).parent):
        assert str(folder).encode() not in content
    with_paths = [node for node in model.graph.node if node.metadata_props]
    assert len(with_paths) == len(model.graph.node), "every node says which module it came from"
    assert {entry.key for node in with_paths for entry in node.metadata_props} == {MODULE_PATH_KEY}


# Whole models take half a minute each. Quick tests hold PyTorch's own outputs to these records (architectures/), and an
# ONNX file of each family to PyTorch's (test_every_model.py).
@pytest.mark.slow
@pytest.mark.parametrize("record", all_recorded(), ids=lambda record: record.name)
def test_recorded_outputs_through_onnx(record: Recorded, tmp_path: Path) -> None:
    case = record.facts["cases"][0]
    torch.save(record.state, tmp_path / "weights.pth")
    request = ModelRequest(
        record.facts["model"],
        record.facts["task"],
        tmp_path / "weights.pth",
        size=tuple(case["input_shape"][2:]),
    )
    (report,) = export_model(ExportRequest(request, ("onnx",), folder=tmp_path))
    outputs = run(report.artifact.path, record.input(case).numpy())
    # 1e-5 of the largest value: float32 rounding costs up to 8e-7; a wrong epsilon costs more.
    assert record.largest_error(case, outputs) < 1e-5
    if record.name.startswith("cas_vit"):
        assert not LEFT_OVER & set(report.artifact.ops), report.artifact.ops
        assert report.artifact.ops["Gelu"] == sum(
            stage for stage in {"xs": (4, 4, 8, 4), "m": (6, 6, 12, 6)}[record.facts["model"].split("_")[-1]]
        )


def test_code_of_other_hands_takes_the_same_road(tmp_path: Path) -> None:
    request = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(64, 48), batch=3)
    reports = export_model(ExportRequest(request, ("onnx", "coreml"), folder=tmp_path))
    report = reports[0]
    assert report.artifact.path.name == "additive_net_build-64x48-fp32.untrained.onnx"
    assert report.parity.status == "passed"
    assert report.input.shape == (3, 3, 64, 48)
    applied = {result.name: len(result.applied) for result in report.rewrites if result.applied}
    assert applied == {
        "remove_identities": 2,
        "fuse_gelu": 1,
        "fuse_global_average": 5,
        "merge_linears": 1,
        "fold_batch_norm": 6,
        "split_convolution": 2,
    }
    assert report.artifact.ops["Gelu"] == report.artifact.ops["Gemm"] == 1
    assert not LEFT_OVER & set(report.artifact.ops)
    assert reports[1].artifact.ops["gelu"] == 1
    assert "batch_norm" not in reports[1].artifact.ops


def test_window_and_pooled_attention_of_other_hands(tmp_path: Path) -> None:
    request = ModelRequest(f"{RESEARCH / 'window_net.py'}:build", size=(112, 112))
    reports = export_model(ExportRequest(request, ("onnx", "coreml"), folder=tmp_path))
    assert reports[0].parity.status == "passed", reports[0].parity.reason
    applied = {result.name for result in reports[1].rewrites if result.applied}
    assert {
        "fold_constants", "fuse_silu", "split_unbound_convolution", "fold_scale", "replace_group_norm",
        "replace_deconvolution", "replace_max_pool3d", "flatten_windows",
    } <= applied  # fmt: skip
    for report in reports:
        assert inspect_artifact(report.artifact.path).findings == ()
    assert not {"conv_transpose", "gather", "batch_norm", "max_pool3d"} & set(reports[1].artifact.ops)


@pytest.mark.parametrize("target", ["onnx", "coreml"])
def test_an_op_that_a_converter_lacks_is_named_with_its_line(tmp_path: Path, target: str) -> None:
    place = tmp_path / "bessel_net.py"
    place.write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class Odd(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.special.bessel_j0(x.relu())\n\n\n"
        "def build():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), Odd())\n"
    )
    with pytest.raises(ConversionError, match=r"bessel_j0.*in 1, line 7 of .*bessel_net\.py\)"):
        export_model(ExportRequest(ModelRequest(f"{place}:build", size=(8, 8)), (target,), folder=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    place = tmp_path / "net.py"
    place.write_text((RESEARCH / "additive_net.py").read_text())
    request = ModelRequest(f"{place}:Dictionary", size=(1, 16, 16))
    reports = export_model(ExportRequest(request, ("onnx", "coreml"), folder=tmp_path))
    names = [output.name for output in onnx.load(reports[0].artifact.path).graph.output]
    assert names == ["maps", "input_1"], "a key that is the input's name is made unique"


@pytest.mark.usefixtures("shallow")
def test_without_rewriting(tmp_path: Path) -> None:
    (report,) = export_model(ExportRequest(XS, ("onnx",), rewrite=False, folder=tmp_path))
    assert report.rewrites == ()
    assert report.parity.status == "passed"
    assert "Split" in report.artifact.ops


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("opset", [18, 23])
def test_opsets(tmp_path: Path, opset: int) -> None:
    (report,) = export_model(ExportRequest(XS, ("onnx",), opset=opset, folder=tmp_path))
    assert [entry.version for entry in onnx.load(report.artifact.path).opset_import if entry.domain == ""] == [opset]
    assert report.parity.status == "passed"


def test_wrong_choices_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    for request, error in (
        (ExportRequest(XS, ("onnx",), opset=11, folder=folder), CatalogError),
        (ExportRequest(XS, ("coreml",), min_ios=12, folder=folder), CatalogError),
        (ExportRequest(XS, ("onnx",), precision="w8", folder=folder), CatalogError),
        (ExportRequest(XS, ("tflite",), folder=folder), CatalogError),
        (ExportRequest(XS, ("onnx",), recipe="coreml", folder=folder), UsageError),
        (ExportRequest(ModelRequest("cas_vit_xs", size=(225, 225)), ("onnx",), folder=folder), CatalogError),
    ):
        with pytest.raises(error):
            export_model(request)
        assert not folder.exists()


def test_an_output_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write into"):
        export_model(ExportRequest(XS, ("onnx",), folder=tmp_path / "file"))


def wrong_after_export(request: Any, path: Path) -> None:
    """Exports, then changes one weight, as a faulty converter would."""
    RIGHT_EXPORT(request, path)
    model = onnx.load(path)
    weight = next(item for item in model.graph.initializer if item.name == "head.bias")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 1e-3, weight.name))
    onnx.save(model, path)


RIGHT_EXPORT = onnx_target._export


@pytest.mark.usefixtures("shallow")
def test_a_wrong_artifact_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cas_vit_xs-64x64-fp32.untrained.onnx").write_text("an earlier export")
    monkeypatch.setattr(onnx_target, "_export", wrong_after_export)
    with pytest.raises(ParityFailedError, match="logits differs by") as caught:
        export_model(ExportRequest(XS, ("onnx",), folder=tmp_path))
    assert isinstance(caught.value, CheckFailedError)
    assert [path.name for path in tmp_path.iterdir()] == ["cas_vit_xs-64x64-fp32.untrained.onnx"]
    assert (tmp_path / "cas_vit_xs-64x64-fp32.untrained.onnx").read_text() == "an earlier export"


@pytest.mark.usefixtures("shallow")
def test_a_file_that_its_runtime_does_not_load_is_not_published(tmp_path: Path) -> None:
    code = tmp_path / "net.py"
    code.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return (9 * x).long().relu().float()\n"  # ONNX Runtime has no such kernel
        "def net():\n"
        "    return Net()\n"
    )
    with pytest.raises(ParityFailedError, match=r"ONNX Runtime refuses .*implementation for Relu") as found:
        export_model(ExportRequest(ModelRequest(f"{code}:net", size=(8, 8)), ("onnx",), folder=tmp_path / "out"))
    assert "nothing was written" in str(found.value.hint)
    assert not (tmp_path / "out").exists()


def test_a_converter_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no symbolic for aten::mystery")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ConversionError, match="no symbolic for aten::mystery"):
        export_model(ExportRequest(XS, ("onnx",), folder=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_own_images_of_a_model_without_a_card(tmp_path: Path) -> None:
    for label, value in (("bright", 250), ("dark", 5)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (40, 30), (value - i, value, value)).save(tmp_path / "images" / label / f"{i}.png")
    name = f"{RESEARCH / 'small_net.py'}:build"
    request = ExportRequest(
        ModelRequest(name, size=(16, 16)), ("onnx",), folder=tmp_path / "out", images=tmp_path / "images"
    )
    with pytest.raises(MvdError, match="no card that says it"):
        export_model(request)
    with_norm = replace(request, app=AppOptions(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)))
    (report,) = export_model(with_norm)
    assert isinstance(report.accuracy, ClassAccuracy)
    assert (report.accuracy.images, report.accuracy.agreeing) == (4, 4)
    assert report.accuracy.reference_correct == report.accuracy.artifact_correct
