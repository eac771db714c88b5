"""Verifying what lies on disk: what passes, what is caught, what is said of it, and where it went wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import Result

from mobilevit_deploy.errors import ArtifactError, CheckpointError, ModelCodeError, UsageError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.loading.checkpoint import Selection
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline import provenance
from mobilevit_deploy.pipeline.conversion import convert_for_target
from mobilevit_deploy.pipeline.plan import TargetRequest, plan_target
from mobilevit_deploy.pipeline.prepare import prepare, ready_for_target
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.targets.registry import describe_file
from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy
from mobilevit_deploy.verification.report import VerifyFailedError, VerifyReport
from mobilevit_deploy.verification.tight import why_left_out
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH, Digits, shallow_models
from tests.golden.digits import digit_images
from tests.support.schemas import check as check_document
from tests.targets.coreml.mil.conftest import body_of, edit_model

NET = f"{RESEARCH / 'small_net.py'}:build"
HALF = RESEARCH / "half_nets.py"
Mvd = Callable[..., Result]


def export(name: str, folder: Path, target: str = "coreml", **settings: Any) -> Path:
    request = ModelRequest(name, checkpoint=settings.pop("checkpoint", None), size=settings.pop("size", (32, 32)))
    (report,) = export_model(ExportRequest(request, (target,), folder=folder, **settings))
    return report.artifact.path


def convert(name: str, folder: Path, **settings: Any) -> Path:
    """Writes a package as an export does, without the comparison that would keep it from being published."""
    prepared = prepare(load_model(ModelRequest(name, size=(32, 32))))
    plan = plan_target(TargetRequest("coreml", **settings))
    return convert_for_target(plan, prepared, ready_for_target(plan, prepared), folder).path


def verify(path: Path, **settings: Any) -> VerifyReport:
    return verify_artifact(VerifyRequest(path, **settings))


def caught(path: Path, **settings: Any) -> VerifyReport:
    with pytest.raises(VerifyFailedError) as failure:
        verify(path, **settings)
    return failure.value.report


@pytest.fixture(scope="module")
def trained(digits: Digits, kept_exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trained model's ONNX file and package, and the reports beside them."""
    folder = tmp_path_factory.mktemp("trained")
    request = ModelRequest("cas_vit_xs", checkpoint=digits.checkpoint, size=(64, 64))
    export_model(ExportRequest(request, ("onnx", "coreml"), folder=folder, cache=kept_exports))
    return folder


@pytest.fixture
def artifacts(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "artifacts"))


def test_the_checkpoint_is_found_through_the_report(artifacts: Path) -> None:
    for name, runners in (("fp32.onnx", ["onnxruntime"] * 2), ("fp16.mlpackage", ["mil"])):
        report = verify(artifacts / f"cas_vit_xs-64x64-{name}")
        assert report.parity.status == "passed"
        assert [leg.runner for leg in report.parity.legs] == runners
        assert (report.model, report.weights.key) == ("cas_vit_xs", "model_ema")


def test_a_checkpoint_that_is_gone_is_asked_for(artifacts: Path, digits: Digits) -> None:
    path = artifacts / "cas_vit_xs-64x64-fp32.onnx"
    (artifacts / "cas_vit_xs-64x64-fp32.onnx.json").unlink()
    with pytest.raises(CheckpointError, match=r"made from checkpoint_best\.pth"):
        verify(path)
    assert verify(path, checkpoint=digits.checkpoint).parity.status == "passed"
    shutil.copy(digits.checkpoint, artifacts)  # beside the artifact it is found again
    assert verify(path).parity.status == "passed"
    (artifacts / digits.checkpoint.name).write_bytes(b"another file of that name")
    with pytest.raises(CheckpointError, match=r"made from checkpoint_best\.pth"):
        verify(path)


def test_other_weights_are_caught(artifacts: Path, digits: Digits) -> None:
    report = caught(artifacts / "cas_vit_xs-64x64-fp32.onnx", checkpoint=digits.checkpoint, selection=Selection("raw"))
    assert "of the largest value" in str(report.parity.reason)


def test_another_checkpoint_is_remarked(artifacts: Path, digits: Digits, tmp_path: Path) -> None:
    content = torch.load(digits.checkpoint, weights_only=False)
    torch.save({"model_ema": content["model_ema"]}, tmp_path / "again.pth")
    report = verify(artifacts / "cas_vit_xs-64x64-fp32.onnx", checkpoint=tmp_path / "again.pth")
    assert "again.pth is not the file" in report.warnings[0]


def test_accuracy_on_labelled_images(artifacts: Path, tmp_path: Path) -> None:
    images, labels = digit_images()
    np.savez(tmp_path / "digits.npz", images=images[:100], labels=labels[:100])
    accuracy = verify(artifacts / "cas_vit_xs-64x64-fp16.mlpackage", images=tmp_path / "digits.npz").accuracy
    assert isinstance(accuracy, ClassAccuracy)
    right = int((labels[:100] == predictions(artifacts, images[:100])).sum())
    assert (accuracy.images, accuracy.agreeing, accuracy.reference_correct) == (100, 100, right)
    assert accuracy.artifact_correct == right


def predictions(artifacts: Path, images: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(artifacts / "cas_vit_xs-64x64-fp32.onnx"))
    return np.array([session.run(None, {"input": image[None]})[0].argmax() for image in images])


def test_image_input_and_labels(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {i}" for i in range(100)))
    app = AppOptions(image_input=True, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), labels=labels, channels="bgr")
    path = export(NET, tmp_path / "out", app=app)
    report = verify(path, model=NET, tight=True)
    assert report.parity.status == "passed"
    assert [leg.subject for leg in report.parity.legs] == [
        "artifact",
        "float32 conversion",
        "half precision, unrounded",
    ]
    edit_model(path, lambda model: swap_bias(body_of(model), "sub"))  # the mean, subtracted from the scaled pixels
    assert caught(path, model=NET).parity.status == "failed"


def swap_bias(body: Any, kind: str) -> None:
    (operation,) = [item for item in body.operations if item.type == kind]
    names = [operation.inputs[name].arguments[0].name for name in "xy"]
    for parameter, name in zip("xy", reversed(names), strict=True):
        operation.inputs[parameter].arguments[0].name = name


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_wrong_op_is_located(tmp_path: Path, precision: str) -> None:
    path = export(NET, tmp_path, precision=precision)
    assert verify(path, model=NET, locate=True).divergence is None
    edit_model(path, lambda model: make_relu(body_of(model), number=1))
    divergence = caught(path, model=NET, locate=True).divergence
    assert divergence is not None
    assert (divergence.module, divergence.op, divergence.artifact_op) == ("second", "gelu", "relu")
    assert divergence.kind == "wrong op"
    assert divergence.line.startswith("line 14 of ")
    assert divergence.own_difference > 2e-2


def make_relu(body: Any, number: int) -> None:
    gelu = [item for item in body.operations if item.type == "gelu"][number]
    gelu.type = "relu"
    del gelu.inputs["mode"]


def test_a_wrong_weight_in_onnx_is_located(tmp_path: Path) -> None:
    path = export(NET, tmp_path, "onnx")
    assert verify(path, model=NET, locate=True).divergence is None
    model = onnx.load(path)
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][3]
    (weight,) = [item for item in model.graph.initializer if item.name == convolution.input[1]]
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3] *= 1.5
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)
    divergence = caught(path, model=NET, locate=True).divergence
    assert divergence is not None
    assert (divergence.module, divergence.op, divergence.kind) == ("second.expand", "conv2d", "wrong op")
    assert divergence.compared == divergence.computed == len(model.graph.node)


def test_overflow_is_located_and_warned_of(tmp_path: Path, mvd: Mvd) -> None:
    name = f"{HALF}:build_overflow"
    divergence = caught(convert(name, tmp_path), model=name, locate=True).divergence
    assert divergence is not None
    assert (divergence.kind, divergence.module, divergence.op) == ("overflow", "middle", "square")
    assert "half precision ends at 65504" in divergence.detail
    result = mvd("export", name, "--to", "coreml", "--input-size", 32)
    assert result.exit_code == 3
    assert "values come beyond that: middle" in result.stderr
    assert "--keep-fp32 'middle'" in result.stderr


def test_a_kept_module_survives(tmp_path: Path) -> None:
    name = f"{HALF}:build_overflow"
    request = ModelRequest(name, size=(32, 32))
    app = AppOptions(keep_fp32=("middle",))
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=tmp_path, app=app))
    assert report.parity.status == "passed"
    assert "not all weights are rounded" in {leg.reason.partition("--keep-fp32 ")[2] for leg in report.parity.not_run}
    assert verify(report.artifact.path, model=name).parity.status == "passed"


def test_values_near_the_end_of_half_precision(tmp_path: Path) -> None:
    name = f"{HALF}:build_near"
    request = ModelRequest(name, size=(32, 32))
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=tmp_path))
    (warning,) = report.warnings
    assert "within 4 times of that: middle" in warning
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=tmp_path, precision="fp32"))
    assert report.warnings == ()


def test_the_users_images_show_values_that_structured_ones_do_not(tmp_path: Path) -> None:
    request = ModelRequest(NET, size=(32, 32))
    np.save(tmp_path / "dark.npy", np.full((3, 3, 32, 32), 1e-3, np.float32))
    np.save(tmp_path / "bright.npy", np.full((3, 3, 32, 32), 3e4, np.float32))
    for name, count in (("dark", 0), ("bright", 1)):
        folder = tmp_path / name
        images = tmp_path / f"{name}.npy"
        (report,) = export_model(ExportRequest(request, ("coreml",), folder=folder, images=images))
        assert len(report.warnings) == count


def test_cancellation_is_told_from_a_wrong_op(tmp_path: Path) -> None:
    name = f"{HALF}:build_cancelling"
    report = verify(convert(name, tmp_path), model=name, locate=True)
    assert report.parity.status == "passed", "of random weights the cost of half precision is no failure"
    assert report.parity.precision_loss is not None
    divergence = report.divergence
    assert divergence is not None
    assert (divergence.kind, divergence.module) == ("cancellation", "middle")


def test_what_half_precision_hides_the_tight_leg_shows(tmp_path: Path) -> None:
    path = export(NET, tmp_path)
    report = verify(path, model=NET, tight=True)
    assert [leg.outputs[0].max_rel for leg in report.parity.legs][2] == 0, "rounding taken out, nothing is left"
    edit_model(path, lambda model: change_gelu(body_of(model)))
    assert verify(path, model=NET).parity.status == "passed", "a GELU of another form is lost in half precision"
    assert "half precision, unrounded" in str(caught(path, model=NET, tight=True).parity.reason)
    fp32 = export(NET, tmp_path, precision="fp32")
    with pytest.raises(UsageError, match="--tight, but an fp32 file"):
        verify(fp32, model=NET, tight=True)


@pytest.mark.parametrize("settings", [{"precision": "w8"}, {"app": AppOptions(prune=0.5)}], ids=["w8", "pruned"])
def test_a_compressed_file_is_held_to_the_same_export_made_again(tmp_path: Path, settings: Any) -> None:
    path = export(NET, tmp_path, **settings)
    report = verify(path, model=NET)
    assert [leg.subject for leg in report.parity.legs][-1] == "same export, unrounded"
    assert report.parity.legs[-1].outputs[0].max_rel == 0
    edit_model(path, lambda model: make_relu(body_of(model), number=1))
    assert "same export, unrounded" in str(caught(path, model=NET).parity.reason)
    path.with_suffix(".coreml.json").unlink()
    report = verify(path, model=NET)
    assert report.parity.status == "passed", "the tolerance of its precision is wide"
    assert "no report beside it" in report.notes[0]
    assert "--tight makes the export again" in report.notes[0]
    assert "may not be seen" in report.notes[1]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"load": 500.0, "capture": 4.0, "convert": 25.9}, None),
        ({"load": 0.1, "capture": 4.0, "convert": 26.1}, "took 30 s to export"),
        ({"capture": "4"}, "no report beside it"),
        ([4.0], "no report beside it"),
    ],
)
def test_what_takes_long_is_made_again_only_when_asked(tmp_path: Path, seconds: Any, expected: str | None) -> None:
    path = tmp_path / "a.mlpackage"
    path.with_suffix(".coreml.json").write_text(json.dumps({"seconds": seconds}))
    file = FileDescription(path, "coreml", {}, (), ())
    noted = Provenance(model="m", task="classify", trained=False, weights="", recipe="coreml", precision="w8")
    model = load_model(ModelRequest(NET, size=(32, 32)))
    found = why_left_out(file, noted, model)
    assert found is None if expected is None else expected in str(found)
    other = noted.model_copy(update={"trained": True, "weights_sha256": "0" * 64})
    assert "not compared with the weights of its export" in str(why_left_out(file, other, model))


def test_a_small_fault_in_half_precision_is_located(tmp_path: Path) -> None:
    path = export(NET, tmp_path)
    edit_model(path, lambda model: change_gelu(body_of(model)))
    divergence = caught(path, model=NET, tight=True, locate=True).divergence
    assert divergence is not None
    assert (divergence.module, divergence.op, divergence.kind) == ("first", "gelu", "wrong op")


def test_what_an_app_relies_on_is_compared_with_the_export(tmp_path: Path, mvd: Mvd) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {i}" for i in range(100)))
    app = AppOptions(image_input=True, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), labels=labels)
    path = export(NET, tmp_path / "out", app=app)

    def swap_labels(model: Any) -> None:
        (classify,) = [item for item in body_of(model).operations if item.type == "classify"]
        values = classify.inputs["classes"].arguments[0].value.immediateValue.list.values
        first, second = values[0].SerializeToString(), values[1].SerializeToString()
        values[0].ParseFromString(second)
        values[1].ParseFromString(first)

    def turn_colors(model: Any) -> None:
        model.description.input[0].type.imageType.colorSpace = 30

    for change, message in ((swap_labels, "are not those of its export"), (turn_colors, "was exported for RGB")):
        copy = Path(shutil.copytree(path, tmp_path / change.__name__ / path.name))
        assert mvd("verify", copy, "--model", NET).exit_code == 0
        edit_model(copy, change)
        result = mvd("verify", copy, "--model", NET)
        assert result.exit_code == 3
        assert message in result.stderr


def test_files_from_elsewhere_have_the_precision_that_they_compute_in(tmp_path: Path) -> None:
    for precision in ("fp32", "fp16"):
        path = export(NET, tmp_path, precision=precision)
        edit_model(path, lambda model: model.description.metadata.userDefined.clear())
        report = verify(path, model=NET)
        assert report.precision == precision
        edit_model(path, lambda model: make_relu(body_of(model), number=1))
        with pytest.raises(VerifyFailedError) as failure:
            verify(path, model=NET, locate=True)
        assert "not located" in failure.value.report.warnings[-1]


def test_a_package_without_described_outputs(package: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(package, tmp_path / package.name))
    edit_model(path, lambda model: model.description.ClearField("output"))
    with pytest.raises(ArtifactError, match="describes no outputs"):
        verify(path, model=NET)


def change_gelu(body: Any) -> None:
    gelu = next(item for item in body.operations if item.type == "gelu")
    name = gelu.inputs["mode"].arguments[0].name
    (constant,) = [item for item in body.operations if item.outputs and item.outputs[0].name == name]
    constant.attributes["val"].immediateValue.tensor.strings.values[0] = "TANH_APPROXIMATION"


def test_code_that_a_file_names_is_not_run(tmp_path: Path) -> None:
    path = export(NET, tmp_path)
    with pytest.raises(ArtifactError, match="runs no code that a file names"):
        verify(path)


def test_a_package_from_another_model(tmp_path: Path, mvd: Mvd) -> None:
    path = export(NET, tmp_path / "out")
    other = f"{RESEARCH / 'additive_net.py'}:build"
    report = caught(path, model=other)
    assert "100" in str(report.parity.reason)
    assert "made from small_net_build, and is compared with" in report.warnings[0]
    with shallow_models():  # a whole one takes ten seconds, and is another model all the same
        result = mvd("verify", path, "--model", "cloformer_xxs")
    assert result.exit_code == 3
    assert "made from small_net_build" in result.stderr


def test_a_model_that_does_not_run_on_the_artifacts_input(package: Path, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(5, 3)\n")
    with pytest.raises(ModelCodeError, match=r"does not run as .* does, on"):
        verify(package, model=f"{tmp_path / 'other.py'}:build")


def test_a_file_that_mvd_did_not_write(tmp_path: Path) -> None:
    module = load_model(ModelRequest(NET)).module
    path = tmp_path / "foreign.onnx"
    with torch.no_grad(), quiet_torch():
        torch.onnx.export(module, (torch.zeros(1, 3, 32, 32),), str(path), dynamo=False, opset_version=17)
    with pytest.raises(ArtifactError, match="was not written by mvd"):
        verify(path)
    assert verify(path, model=NET).parity.status == "passed"


def invent_op(model: Any) -> None:
    next(item for item in body_of(model).operations if item.type == "gelu").type = "swirl"


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no manifest": (lambda path: (path / "Manifest.json").unlink(), "has no Manifest.json"),
    "unknown op": (lambda path: edit_model(path, invent_op), "swirl"),
    "neural network": (lambda path: edit_model(path, lambda m: m.neuralNetwork.SetInParent()), "neuralNetwork model"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(NET, tmp_path_factory.mktemp("package"))


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_package(name: str, package: Path, tmp_path: Path, mvd: Mvd) -> None:
    path = Path(shutil.copytree(package, tmp_path / package.name))
    damage, message = DAMAGE[name]
    damage(path)
    result = mvd("verify", path, "--model", NET)
    assert result.exit_code == 1, result.stderr
    assert message in result.stderr
    assert result.stdout == ""


def test_metadata_that_lies(package: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(package, tmp_path / package.name))

    def lie(model: Any) -> None:
        model.description.metadata.userDefined["mvd.precision"] = "fp7"

    edit_model(path, lie)
    with pytest.raises(ArtifactError, match="malformed: precision"):
        verify(path, model=NET)


def test_what_is_noted_is_read_back(trained: Path) -> None:
    for path in (trained / "cas_vit_xs-64x64-fp32.onnx", trained / "cas_vit_xs-64x64-fp16.mlpackage"):
        file = describe_file(path)
        noted = provenance.parse(file.metadata, path.name)
        assert noted is not None
        assert (noted.model, noted.trained, noted.rewritten, noted.recipe) == ("cas_vit_xs", True, True, file.target)
        assert noted.target_version == (20 if file.target == "onnx" else 16)


def test_as_json(artifacts: Path, mvd: Mvd) -> None:
    result = mvd("verify", artifacts / "cas_vit_xs-64x64-fp16.mlpackage", "--json")
    assert result.exit_code == 0, result.stderr
    document = check_document("verify", result.stdout)
    assert document["parity"]["status"] == "passed"
    assert document["divergence"] is None
    missing = [entry["settings"]["compute_units"] for entry in document["parity"]["not_run"]]
    assert missing in ([], ["CPU_ONLY", "ALL"]), "what only a Mac runs is named where there is none"
