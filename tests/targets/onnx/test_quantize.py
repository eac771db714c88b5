"""int8 ONNX: the trained checkpoint keeps its classes, own code works, and what is wrong is refused or caught."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from sklearn.datasets import load_digits
from typer.testing import Result

from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import CatalogError, ConversionError, MvdError, UsageError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.images import test_images
from mobilevit_deploy.images.preparation import Floats
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.artifact import Artifact
from mobilevit_deploy.targets.onnx.module_paths import read_path
from mobilevit_deploy.targets.onnx.quantize import _groups, quantize
from mobilevit_deploy.targets.quantization import Calibration, Quantization, divide
from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy
from mobilevit_deploy.verification.report import VerifyFailedError, VerifyReport
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH, Digits
from tests.golden.digits import MEAN, STD, digit_images
from tests.support.damage.forget import forget

OWN = f"{RESEARCH / 'small_net.py'}:build"


def training_images(count: int) -> Floats:
    """Returns digits that the test images have none of, (count, 3, 64, 64)."""
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))[:count]  # the test images are from 1400 on
    images = torch.tensor(load_digits().images, dtype=torch.float32)[order, None] / 16
    images = F.interpolate(images, size=(64, 64), mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
    found: Floats = ((images - MEAN) / STD).numpy()
    return found


@pytest.fixture(scope="module")
def trained(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    folder = tmp_path_factory.mktemp("int8")
    images, labels = digit_images()
    np.savez(folder / "test.npz", images=images, labels=labels)
    np.savez(folder / "train.npz", images=training_images(116))
    request = ExportRequest(
        ModelRequest("cas_vit_xs", checkpoint=digits.checkpoint, size=(64, 64)),
        ("onnx",),
        precision="int8",
        calibrate=folder / "train.npz",
        images=folder / "test.npz",
        folder=folder / "out",
    )
    (report,) = export_model(request)
    return report


def test_the_trained_checkpoint_keeps_its_accuracy(trained: ExportReport, digits: Digits) -> None:
    assert isinstance(trained.accuracy, ClassAccuracy)
    assert trained.accuracy.reference_correct == digits.correct
    # Half a point of 397 images is two; 390 to 392 were measured over methods and counts of calibration images.
    assert trained.accuracy.artifact_correct is not None
    assert trained.accuracy.artifact_correct >= digits.correct - 1
    assert trained.accuracy.agreeing >= 395


# How often each operation is in the graph of two blocks, and of cas_vit_xs.
COUNTS = {
    "Conv": (34, 164), "Mul": (10, 50), "Add": (8, 40), "Sigmoid": (8, 40), "Relu": (6, 22),
    "GlobalAveragePool": (4, 20), "Gemm": (1, 1),
}  # fmt: skip


def test_what_became_int8_is_reported(trained: ExportReport, digits: Digits) -> None:
    result = trained.artifact.quantization
    assert result is not None
    assert (result.images, result.structured) == (100, False)
    assert result.quantized == {kind: counts[digits.whole] for kind, counts in COUNTS.items()}
    assert result.left == {"Gelu": 20 if digits.whole else 4, "Conv": 1, "ReduceMean": 1}
    assert trained.artifact.path.name == "cas_vit_xs-64x64-int8.onnx"
    # A weight is a quarter; scales, zero points and node names are the rest of a small model, and most of two blocks.
    assert not digits.whole or trained.artifact.bytes < 0.36 * result.bytes_before
    legs = [(leg.subject, leg.samples) for leg in trained.parity.legs]
    held_out = ("artifact", 16)
    assert legs == [("rewritten graph", 8), ("float32 conversion", 8), held_out, held_out, ("int8, unrounded", 8)]
    model = onnx.load(trained.artifact.path)
    kinds = [item.data_type for item in model.graph.initializer if len(item.dims) > 1]
    assert (kinds.count(onnx.TensorProto.INT8), kinds.count(onnx.TensorProto.FLOAT)) == (
        COUNTS["Conv"][digits.whole] + 1,
        1,
    )
    assert all(read_path(node) for node in model.graph.node if node.op_type in ("Conv", "Gemm"))
    assert {entry.key: entry.value for entry in model.metadata_props}["mvd.calibration"] == (
        '{"source": "train.npz", "images": 100}'
    )


def change(source: Path, name: str, factor: float, folder: Path) -> Path:
    """Returns a copy with one array multiplied."""
    model = onnx.load(source)
    item = next(item for item in model.graph.initializer if item.name == name)
    values = numpy_helper.to_array(item)
    item.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), name))
    path = folder / source.name
    forget(model)
    onnx.save(model, str(path))
    return path


def verify(path: Path, **settings: Any) -> VerifyReport:
    return verify_artifact(VerifyRequest(path, **settings))


def test_a_wrong_scale_of_a_weight_is_caught(trained: ExportReport, digits: Digits, tmp_path: Path) -> None:
    source = trained.artifact.path
    verify(source, checkpoint=digits.checkpoint, tight=True)
    # Behind a layer scale this doubles one of ten branches: at int8's own tolerance nothing shows.
    path = change(source, "network.0.0.attn.oper_q.0.block.3.weight_scale", 2, tmp_path)
    verify(path, checkpoint=digits.checkpoint)
    with pytest.raises(VerifyFailedError, match="int8, unrounded"):
        verify(path, checkpoint=digits.checkpoint, tight=True)
    # The first convolution's scale, or the head's, changes everything.
    with pytest.raises(VerifyFailedError, match="artifact at 64x64 in onnxruntime"):
        verify(change(source, "head.weight_scale", 4, tmp_path), checkpoint=digits.checkpoint)


def test_a_wrong_weight_is_located(trained: ExportReport, digits: Digits, tmp_path: Path) -> None:
    module = "network.4.2.mlp.fc2" if digits.whole else "network.2.0.mlp.fc2"
    path = change(trained.artifact.path, f"{module}.weight_scale", 8, tmp_path)
    with pytest.raises(VerifyFailedError) as caught:
        verify(path, checkpoint=digits.checkpoint, tight=True, locate=True)
    found = caught.value.report.divergence
    assert found is not None
    assert (found.module, found.kind) == (module, "wrong op")


def test_a_wrong_range_is_caught_on_images_of_the_kind_of_calibration(
    trained: ExportReport, digits: Digits, tmp_path: Path
) -> None:
    """Ranges are what the leg without rounding leaves out."""
    source, images = trained.artifact.path, trained.artifact.path.parents[1] / "test.npz"
    right = verify(source, checkpoint=digits.checkpoint, images=images, largest_count=16)
    (first, second) = right.parity.legs[:2]
    assert first.reference == second.reference == "PyTorch, on your images"
    path = change(source, "add_3_scale", 0.25, tmp_path)  # the first block's sum is cut off at a quarter of its range
    verify(path, checkpoint=digits.checkpoint, tight=False)
    with pytest.raises(VerifyFailedError, match="artifact at 64x64"):
        verify(path, checkpoint=digits.checkpoint, images=images, largest_count=16)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("own")
    # Noise has smaller sums than images with edges: ranges calibrated on it would clip what parity is measured on.
    np.save(
        folder / "images.npy",
        test_images.make_samples(6, 3, 32, 32, test_images.IMAGENET_MEAN, test_images.IMAGENET_STD),
    )
    request = ExportRequest(
        ModelRequest(OWN, size=(32, 32), batch=4),  # six images fill one batch and half of another
        ("onnx",),
        precision="int8",
        calibrate=folder / "images.npy",
        sensitivity=True,
        folder=folder / "out",
    )
    (report,) = export_model(request)
    return report.artifact


def test_own_code_by_the_recipes_rule(own: Artifact) -> None:
    assert own.quantization is not None
    assert own.quantization.quantized == {"Conv": 5, "Gemm": 1}
    assert own.path.name == "small_net_build-32x32-int8.untrained.onnx"
    kinds = {item.data_type for item in onnx.load(own.path).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def test_sensitivity_is_by_module_and_adds_up(own: Artifact) -> None:
    assert own.quantization is not None
    costs = own.quantization.sensitivity
    assert {cost.module: cost.nodes for cost in costs} == {
        "stem": 1,
        "first.expand": 1,
        "first.project": 1,
        "second.expand": 1,
        "second.project": 1,
        "head": 1,
    }
    assert sum(cost.noise_share for cost in costs) == pytest.approx(1)
    assert [cost.snr_db for cost in costs] == sorted(cost.snr_db for cost in costs)


def test_modules_that_cost_most_can_stay_in_float32(own: Artifact, tmp_path: Path) -> None:
    assert own.quantization is not None
    worst = own.quantization.sensitivity[0].module
    np.save(
        tmp_path / "images.npy",
        test_images.make_samples(8, 3, 32, 32, test_images.IMAGENET_MEAN, test_images.IMAGENET_STD),
    )
    settings = {"precision": "int8", "folder": tmp_path / "out"}
    (all_of_it,) = export_model(request(tmp_path / "images.npy", **settings))
    (without,) = export_model(request(tmp_path / "images.npy", app=AppOptions(keep_fp32=(worst,)), **settings))
    assert without.artifact.quantization is not None
    assert sum(without.artifact.quantization.quantized.values()) == 5
    before, after = (
        next(leg.outputs[0].snr_db for leg in report.parity.legs if leg.subject == "artifact")
        for report in (all_of_it, without)
    )
    assert after > before + 1


def test_held_out_images_are_no_part_of_calibration() -> None:
    images = np.arange(116, dtype=np.float32)[:, None, None, None]
    both = divide(images, "numbers")
    assert (len(both.images), len(both.held_out)) == (100, 16)
    assert sorted([*both.images.flat, *both.held_out.flat]) == list(range(116))
    assert (both.held_out.min(), both.held_out.max()) == (0, 115)
    few = divide(images[:9], "numbers")
    assert (len(few.images), len(few.held_out)) == (9, 9)
    with pytest.raises(MvdError, match="has one image"):
        divide(images[:1], "numbers")


def test_groups_are_as_deep_as_the_table_holds() -> None:
    nodes = [(f"n{i}", f"stage.{i % 2}.block.{i}") for i in range(50)]
    assert {module: len(names) for module, names in _groups(nodes).items()} == {
        "stage.0.block": 25,
        "stage.1.block": 25,
    }


def test_nothing_to_quantise(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="relu")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 4, 4]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.save(model, str(tmp_path / "relu.onnx"))
    rule = QuantizationRule(op_types=("Conv",), reason="a test")
    wanted = Quantization(
        rule, Calibration(np.zeros((1, 3, 4, 4), dtype=np.float32), np.zeros((1, 3, 4, 4), dtype=np.float32), "zeros")
    )
    with pytest.raises(ConversionError, match="nothing to quantise: no node of Conv"):
        quantize(tmp_path / "relu.onnx", wanted)


def request(calibrate: Path | None, **settings: Any) -> ExportRequest:
    return ExportRequest(ModelRequest(OWN, size=(32, 32)), ("onnx",), calibrate=calibrate, **settings)


def test_calibration_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 chooses its ranges by images") as caught:
        export_model(request(None, precision="int8"))
    assert caught.value.hint is not None
    assert "--calibrate DIR|FILE" in caught.value.hint
    with pytest.raises(UsageError, match="--calibrate is for int8"):
        export_model(request(tmp_path))
    with pytest.raises(CatalogError, match=r"recipe coreml writes .*, not int8"):
        export_model(ExportRequest(ModelRequest(OWN), ("coreml",), precision="int8", calibrate=tmp_path))
    with pytest.raises(MvdError, match="is no folder of images and no array file"):
        export_model(request(tmp_path / "nothing", precision="int8"))
    np.save(tmp_path / "small.npy", np.zeros((2, 3, 16, 16), dtype=np.float32))
    with pytest.raises(MvdError, match=r"float32 of shape \(2, 3, 16, 16\)"):
        export_model(request(tmp_path / "small.npy", precision="int8"))
    np.save(tmp_path / "nan.npy", np.full((2, 3, 32, 32), np.nan, dtype=np.float32))
    with pytest.raises(MvdError, match="NaN or infinite"):
        export_model(request(tmp_path / "nan.npy", precision="int8"))


def test_the_command_and_structured_samples_for_a_demo(mvd: Callable[..., Result], tmp_path: Path) -> None:
    result = mvd("quantize", OWN, "--input-size", "32", "--calibrate", "structured", "--sensitivity")
    assert result.exit_code == 0, result.stderr
    assert "8 structured samples, for a demo" in result.stdout
    assert "int8 in this module alone" in result.stdout
    path = tmp_path / "artifacts/small_net_build-32x32-int8.untrained.onnx"
    assert mvd("verify", path, "--model", OWN, "--tight").exit_code == 0
    refused = mvd("quantize", OWN, "--input-size", "32")
    assert refused.exit_code == 2
    assert "--calibrate structured" in refused.stderr


SHARED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.head = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)

    def forward(self, x):
        maps = self.down(x), self.down(x + 1).relu(), self.down(2 * x).relu()
        return torch.cat([self.head(item).flatten(2) for item in maps], 2)

def build():
    torch.manual_seed(0)
    return Net().eval()
"""


def test_a_layer_that_several_maps_share(mvd: Callable[..., Result], tmp_path: Path) -> None:
    """Such as a detector's head: its bias has the steps of each reader's input, and its weight stands once."""
    (tmp_path / "shared.py").write_text(SHARED)
    given = ("export", f"{tmp_path / 'shared.py'}:build", "--to", "onnx", "--precision", "int8", "--input-size", 32)
    result = mvd(*given, "--calibrate", "structured", "--sensitivity", "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    (report,) = json.loads(result.stdout)["artifacts"]
    assert report["quantization"]["quantized"] == {"Conv": 6}
    assert {cost["module"]: cost["nodes"] for cost in report["quantization"]["sensitivity"]} == {"down": 3, "head": 3}
    legs = [leg["subject"] for leg in report["parity"]["legs"]]
    assert legs.count("artifact") == 2, "with the optimisations of ONNX Runtime and without"
    assert "int8, unrounded" in legs
