"""What apps need of a package: images, labels, small weights, float32 modules; what is refused has a way out."""

import gc
import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools.optimize.coreml as optimize
import numpy as np
import pytest
from typer.testing import Result

from mobilevit_deploy.errors import ArtifactError, CatalogError, ConversionError, MvdError, UsageError
from mobilevit_deploy.export.document import export_document
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.coreml.convert import describe
from mobilevit_deploy.verification.report import VerifyFailedError
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH
from tests.support.schemas import check as check_document
from tests.targets.coreml.mil.conftest import edit_model
from tests.targets.coreml.test_convert import read

NET = RESEARCH / "small_net.py"
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
FLOAT16, FLOAT32 = 10, 11


def export(folder: Path, app: AppOptions | None = None, function: str = "build", **settings: Any) -> ExportReport:
    size = (1, 16, 16) if function == "build_gray" else (16, 16)
    request = ModelRequest(f"{NET}:{function}", size=size, batch=settings.pop("batch", 1))
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=folder, app=app or AppOptions(), **settings))
    return report


def operations(specification: Any) -> list[Any]:
    (function,) = specification.mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    return list(block.operations)


def output_type(operation: Any) -> int:
    return int(operation.outputs[0].type.tensorType.dataType)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_bytes("\r\n".join(["\ufeffKatze", *(f"class {i}" for i in range(99))]).encode() + b"\r\n")
    return path


@pytest.mark.parametrize(("channels", "layout"), [(None, 20), ("rgb", 20), ("bgr", 30)])
def test_image_input(tmp_path: Path, channels: Any, layout: int) -> None:
    report = export(tmp_path / "out", AppOptions(image_input=True, channels=channels, mean=MEAN, std=STD))
    specification = read(report.artifact.path)
    (image,) = specification.description.input
    assert image.type.WhichOneof("Type") == "imageType"
    assert (image.type.imageType.colorSpace, image.type.imageType.width) == (layout, 16)
    kinds = Counter(item.type for item in operations(specification))
    assert kinds["batch_norm"] == 0, "coremltools' fusion adds an epsilon"
    assert kinds["mul"] == kinds["sub"] == 1
    assert constants_of(specification, "mul") == [np.float16(1 / (255 * std)) for std in STD]
    assert constants_of(specification, "sub") == [np.float16(mean / std) for mean, std in zip(MEAN, STD, strict=True)]
    document = export_document(report)["input"]
    color = "BGR" if channels == "bgr" else "RGB"
    assert document == {
        "name": "input", "shape": [1, 3, 16, 16], "kind": "image", "color": color, "mean": [*MEAN], "std": [*STD],
    }  # fmt: skip
    assert "in the graph" in specification.description.metadata.userDefined["mvd.image"]


def constants_of(specification: Any, kind: str) -> list[float]:
    """Returns the values of the small half-precision constant that the one operation of a kind reads as y."""
    items = operations(specification)
    (operation,) = [item for item in items if item.type == kind]
    (constant,) = [item for item in items if item.outputs[0].name == operation.inputs["y"].arguments[0].name]
    return list(np.frombuffer(constant.attributes["val"].immediateValue.tensor.bytes.values, np.float16))


@pytest.mark.usefixtures("shallow")
def test_the_cards_mean_and_std_follow_the_channels(tmp_path: Path) -> None:
    request = ModelRequest("cas_vit_xs", size=(32, 32), num_classes=4)
    app = AppOptions(image_input=True, channels="bgr")
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=tmp_path, app=app))
    assert report.artifact.app.image is not None
    assert report.artifact.app.image.mean == (0.406, 0.456, 0.485)
    assert report.artifact.app.image.std == (0.225, 0.224, 0.229)


def test_a_gray_image(tmp_path: Path) -> None:
    report = export(tmp_path, AppOptions(image_input=True, mean=(0.5,), std=(0.25,)), "build_gray")
    assert read(report.artifact.path).description.input[0].type.imageType.colorSpace == 10


def test_labels(tmp_path: Path, labels: Path) -> None:
    report = export(tmp_path / "out", AppOptions(labels=labels))
    specification = read(report.artifact.path)
    description = specification.description
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName in {item.name for item in description.output}
    kinds = Counter(item.type for item in operations(specification))
    assert kinds["softmax"] == kinds["classify"] == 1
    text = specification.SerializeToString()
    assert b"Katze" in text
    assert "\ufeff".encode() not in text
    document = export_document(report)
    assert document["outputs"] == [{"name": "probabilities", "shape": [1, 100]}]
    assert document["labels"] == 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\ndog\n", "has 2 labels, the model 100 classes"),
        (b"cat\n\ndog\n", "line 2 of .* is empty"),
        (b"cat\ndog\ncat\n", "lines 1 and 3 of .* are both 'cat'"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a\0b\n", "no plain text"),
        (b"", "line 1 of .* is empty"),
        (b"x" * (4 * 2**20 + 1), "is larger than 4 MB"),
    ],
)
def test_wrong_labels(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(MvdError, match=message):
        export(tmp_path / "out", AppOptions(labels=tmp_path / "labels.txt"))
    assert not (tmp_path / "out").exists()


# What each floor stores weights as, with the specification version that goes with it.
KINDS = [
    (16, "w8", None, {"constexpr_affine_dequantize": 3}),
    (18, "w8", None, {"constexpr_blockwise_shift_scale": 3}),
    (16, "w6", None, {"constexpr_lut_to_dense": 3}),
    (17, "w4", None, {"constexpr_lut_to_dense": 3}),
    (18, "w4", None, {"constexpr_blockwise_shift_scale": 3}),
    (16, "fp16", 0.5, {"constexpr_sparse_to_dense": 3}),
    (18, "w8", 0.5, {"constexpr_sparse_blockwise_shift_scale": 3, "constexpr_sparse_to_dense": 3}),
    (18, "w6", 0.5, {"constexpr_lut_to_sparse": 3, "constexpr_sparse_to_dense": 3}),
]


@pytest.mark.parametrize(("ios", "precision", "prune", "kinds"), KINDS)
def test_compression(tmp_path: Path, ios: int, precision: str, prune: float | None, kinds: dict[str, int]) -> None:
    report = export(tmp_path, AppOptions(prune=prune), precision=precision, min_ios=ios)
    specification = read(report.artifact.path)
    assert specification.specificationVersion == {16: 7, 17: 8, 18: 9}[ios]
    found = Counter(item.type for item in operations(specification) if item.type.startswith("constexpr_"))
    assert found == kinds
    assert report.artifact.path.name == f"small_net_build-16x16-{precision}.untrained.mlpackage"
    assert specification.description.metadata.userDefined["mvd.precision"] == precision
    document = export_document(report)["compression"]
    # In half precision: two 3x3 convolutions and the head; left are two 1x1 convolutions and the stem.
    assert document["weight_bytes_compressed"] == 2 * (2 * 64 * 32 * 9 + 100 * 32)
    assert document["weight_bytes_left"]["2048 values or fewer"] == 2 * (2 * 32 * 64 + 32 * 3 * 9)
    assert document["bytes_before"] > report.artifact.bytes
    assert document["prune"] == prune
    assert document["bits"] == (None if precision == "fp16" else int(precision[1]))


def test_a_network_too_small_to_be_compressed_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(3, 9, 3), nn.Conv2d(9, 9, 3))\n"
    )
    request = ModelRequest(f"{tmp_path / 'tiny.py'}:build", size=(16, 16))
    (report,) = export_model(ExportRequest(request, ("coreml",), folder=tmp_path, precision="w8"))
    (warning,) = [line for line in export_document(report)["warnings"] if "compressed" in line]
    assert warning.startswith("no weight was compressed: only those of more than 2,048 values are, and here are ")
    assert "2048 values or fewer" in warning


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # folders that coremltools leaves open
def test_compressed_weights_are_near_the_originals(tmp_path: Path) -> None:
    """A wrong axis or scale would cost far more than the bits that are missing."""
    import coremltools

    exact = weights_of(coremltools.models.MLModel(str(export(tmp_path / "fp16").artifact.path), skip_model_load=True))
    for precision, ios, least_db in (("w8", 16, 40.0), ("w6", 16, 30.0), ("w4", 16, 15.0), ("w4", 18, 15.0)):
        path = export(tmp_path / f"{precision}{ios}", precision=precision, min_ios=ios).artifact.path
        model = optimize.decompress_weights(coremltools.models.MLModel(str(path), skip_model_load=True))
        found = weights_of(model)
        assert found.keys() == exact.keys()
        for name, weight in exact.items():
            error = ((weight - found[name]) ** 2).sum()
            assert error == 0 or 10 * np.log10((weight**2).sum() / error) > least_db, (precision, ios, name)
    del model
    gc.collect()  # here, where the warning is expected


def weights_of(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the large weights of a package by the name of the operation that reads them, in float64."""
    metadata = optimize.get_weights_metadata(model, weight_threshold=500)
    return {item.child_ops[0].name: item.val.astype(np.float64) for item in metadata.values()}


@pytest.mark.parametrize(
    ("settings", "prune", "message", "hint"),
    [
        ({"precision": "w8", "min_ios": 15}, None, "w8 needs iOS 16, not 15", "give --min-ios 16"),
        ({"precision": "w4", "min_ios": 15}, None, "w4 needs iOS 16, not 15", "give --min-ios 16"),
        ({"min_ios": 15}, 0.5, "--prune needs iOS 16, not 15", "give --min-ios 16"),
        ({"precision": "w8"}, 0.5, "--prune together with w8 needs iOS 18, not 16", "give --min-ios 18"),
    ],
)
def test_a_floor_that_is_too_low(tmp_path: Path, settings: Any, prune: float | None, message: str, hint: str) -> None:
    with pytest.raises(CatalogError, match=message) as caught:
        export(tmp_path / "out", AppOptions(prune=prune), **settings)
    assert caught.value.hint == hint
    assert not (tmp_path / "out").exists()


def test_scikit_learn_is_asked_for_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MvdError, match="need scikit-learn") as caught:
        export(tmp_path / "out", precision="w6")
    assert caught.value.hint == "pip install scikit-learn"
    assert not (tmp_path / "out").exists()
    assert export(tmp_path, precision="w8").artifact.compression is not None, "integers need no k-means"


def test_a_compression_that_fails_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no such bits")

    monkeypatch.setattr(optimize, "linear_quantize_weights", fail)
    with pytest.raises(ConversionError, match="cannot compress the weights: no such bits"):
        export(tmp_path / "out", precision="w8")
    assert not (tmp_path / "out").exists()


def test_the_specification_is_checked_after_compression(tmp_path: Path) -> None:
    """coremltools raises an iOS 15 package to 7 without a word; a recipe that lets one through is stopped."""
    text = (Path(__file__).parents[3] / "export_recipes/coreml.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("minimum = 16", "minimum = 15"))
    with pytest.raises(ConversionError, match="wrote specification 7, which iOS 15 does not read") as caught:
        export(tmp_path / "out", precision="w8", min_ios=15, recipe=str(tmp_path / "mine.toml"))
    assert caught.value.hint == "give --min-ios 16"


@pytest.mark.parametrize("precision", ["fp16", "w8"])
def test_modules_kept_in_float32(tmp_path: Path, precision: str) -> None:
    app = AppOptions(keep_fp32=("firs?", "head"), prune=None)
    report = export(tmp_path, app, precision=precision)
    types: dict[str, set[int]] = {}
    for item in operations(read(report.artifact.path)):
        if item.type in ("conv", "linear", "gelu", "constexpr_affine_dequantize"):
            types.setdefault(item.type, set()).add(output_type(item))
    assert types["conv"] == types["gelu"] == {FLOAT16, FLOAT32}
    assert types["linear"] == {FLOAT32}
    if precision == "w8":
        assert types["constexpr_affine_dequantize"] == {FLOAT16}, "weights of kept modules are not compressed either"
    assert set(report.artifact.app.keep_fp32) >= {"first", "first.expand", "first.project", "head"}
    assert not any(path.startswith("second") for path in report.artifact.app.keep_fp32)
    assert export_document(report)["keep_fp32"] == list(report.artifact.app.keep_fp32)
    wide = [item.outputs[0].name for item in operations(read(report.artifact.path)) if item.type == "conv"]
    assert len([name for name in wide if not name.endswith("_cast_fp16")]) == 2, wide


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'frist' matches no module") as caught:
        export(tmp_path / "out", AppOptions(keep_fp32=("first", "frist")))
    assert "first" in str(caught.value.hint)
    assert not (tmp_path / "out").exists()


IMAGE = AppOptions(image_input=True, mean=MEAN, std=STD)


@pytest.mark.parametrize(
    ("app", "settings", "message"),
    [
        (AppOptions(image_input=True), {}, "nobody said how this model's images are normalised"),
        (AppOptions(image_input=True, mean=MEAN), {}, "--mean and --std go together"),
        (AppOptions(image_input=True, mean=(1.0,), std=(1.0,)), {}, "--mean has 1 values .* the image 3 channels"),
        (AppOptions(image_input=True, mean=(123.0, 116.0, 104.0), std=(58.0, 57.0, 57.0)), {}, "fractions of 1"),
        (AppOptions(image_input=True, mean=MEAN, std=(0.0, 1.0, 1.0)), {}, "--std must be positive"),
        (AppOptions(channels="bgr"), {}, "--color bgr, but nobody said how"),
        (IMAGE, {"batch": 2}, "--image-input with a batch of 2"),
        (AppOptions(prune=1.5), {}, "--prune 1.5 is no share"),
        (AppOptions(keep_fp32=("head",)), {"precision": "fp32"}, "--keep-fp32 with --precision fp32"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, app: AppOptions, settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(tmp_path / "out", app, **settings)
    assert not (tmp_path / "out").exists()


def test_labels_are_for_one_output_of_one_image(tmp_path: Path, labels: Path) -> None:
    with pytest.raises(UsageError, match="returns 1x100, 1x100"):
        export(tmp_path / "out", AppOptions(labels=labels), "build_pair")
    with pytest.raises(UsageError, match="returns 2x100"):
        export(tmp_path / "out", AppOptions(labels=labels), batch=2)


def test_options_that_no_target_takes_together() -> None:
    options = AppOptions(prune=0.5, int8_io=True)
    with pytest.raises(UsageError, match="--prune and --int8-io cannot be written to onnx") as caught:
        ExportRequest(ModelRequest("cas_vit_xs"), ("onnx",), app=options).target_requests()
    assert caught.value.hint == "leave one of them out: no target takes all of it"


def test_the_command_line(mvd: Callable[..., Result], labels: Path) -> None:
    common = ("export", f"{NET}:build", "--input-size", 16, "--image-input", "--mean", "0.4,0.5,0.6")
    more = ("--std", "0.2,0.25,0.3", "--color", "bgr", "--labels", labels, "--keep-fp32", "head", "--precision", "w8")
    result = mvd(*common, *more, "--to", "coreml")
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "takes a BGR image; normalised in the graph by mean (0.4, 0.5, 0.6)" in text
    assert "returns the label and the probabilities of 100 classes" in text
    assert "float32 in head" in text
    assert "of weights compressed; left as they were: " in text
    only_onnx = mvd(*common, *more[:2], "--to", "onnx")
    assert only_onnx.exit_code == 2
    assert "--image-input and --mean and --std cannot be written to onnx" in only_onnx.stderr
    wrong = mvd(*common[:-1], "red", "--to", "coreml")
    assert wrong.exit_code == 2
    both = mvd(*common, *more[:2], "--to", "onnx", "--to", "coreml", "--json")
    onnx, coreml = check_document("export", both.stdout)["artifacts"]
    assert onnx["input"] == {"name": "input", "shape": [1, 3, 16, 16], "kind": "array"}
    assert coreml["input"]["kind"] == "image"
    assert onnx["parity"]["status"] == "passed"


def test_enumerated_sizes(tmp_path: Path) -> None:
    """A convolutional network has one graph for all sizes: one function, with shapes."""
    app = AppOptions(sizes=((24, 24), (16, 32)), image_input=True, mean=MEAN, std=STD)
    report = export(tmp_path, app)
    description = describe(report.artifact.path)
    assert [(entry.shape, entry.function) for entry in description.entries] == [
        ((1, 3, 16, 16), None), ((1, 3, 24, 24), None), ((1, 3, 16, 32), None),
    ]  # fmt: skip
    assert report.parity.status == "passed"
    compared = [leg.size for leg in report.parity.legs if leg.subject == "artifact" and leg.runner == "mil"]
    assert compared == [(16, 16), (24, 24), (16, 32)]
    assert len(export_document(report)["entries"]) == 3


def test_sizes_as_functions(tmp_path: Path) -> None:
    """Where the graph holds the numbers of one size, each size is a function, from iOS 18 on."""
    name = f"{RESEARCH / 'window_net.py'}:build"
    request = ModelRequest(name, size=(56, 56))
    settings: dict[str, Any] = {"targets": ("coreml",), "folder": tmp_path, "app": AppOptions(sizes=((28, 56),))}
    with pytest.raises(ConversionError, match="no graph for several sizes") as refusal:
        export_model(ExportRequest(request, **settings))
    assert "--min-ios 18" in str(refusal.value.hint)
    (report,) = export_model(ExportRequest(request, min_ios=18, **settings))
    functions = [(entry.shape[2:], entry.function) for entry in describe(report.artifact.path).entries]
    assert functions == [((56, 56), "size_56x56"), ((28, 56), "size_28x56")]
    assert report.parity.status == "passed"
    assert read(report.artifact.path).description.metadata.userDefined["mvd.trained"] == "false"
    assert verify_artifact(VerifyRequest(report.artifact.path, model=name)).parity.status == "passed"


def test_a_size_of_which_the_package_computes_something_else_is_caught(tmp_path: Path) -> None:
    app = AppOptions(sizes=((24, 24),))
    path = export(tmp_path, app).artifact.path

    def shrink(model: Any) -> None:  # the mean over what is now a free height and width, over one of them only
        (mean,) = [item for item in operations(model) if item.type == "reduce_mean"]
        name = mean.inputs["axes"].arguments[0].name
        (axes,) = [item for item in operations(model) if item.outputs and item.outputs[0].name == name]
        axes.attributes["val"].immediateValue.tensor.ints.values[:] = [2, 2]

    edit_model(path, shrink)
    with pytest.raises((VerifyFailedError, ArtifactError)):
        verify_artifact(VerifyRequest(path, model=f"{NET}:build"))


@pytest.mark.parametrize(
    ("sizes", "message"), [(((16, 16),), "twice, or the default"), (((24, 24), (24, 24)), "twice, or the default")]
)
def test_sizes_that_are_no_others(tmp_path: Path, sizes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(tmp_path, AppOptions(sizes=sizes))


@pytest.mark.usefixtures("shallow")
def test_a_size_that_a_family_does_not_take(tmp_path: Path) -> None:
    request = ModelRequest("lightvit_tiny", size=(224, 224))
    with pytest.raises(CatalogError, match="takes sides divisible by"):
        export_model(ExportRequest(request, ("coreml",), folder=tmp_path, app=AppOptions(sizes=((230, 230),))))
