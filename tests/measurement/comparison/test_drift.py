"""Artifacts that take the same images in different forms, and how far their outputs lie apart."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from mobilevit_deploy.errors import ArtifactError, UsageError
from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD
from mobilevit_deploy.measurement.comparison.compare import ComparisonRequest, compare_artifacts
from mobilevit_deploy.measurement.comparison.document import comparison_document
from mobilevit_deploy.measurement.comparison.drift import Drift, compare_outputs, run
from mobilevit_deploy.measurement.comparison.subject import open_subject
from mobilevit_deploy.report.comparison import comparison_table
from tests.measurement.comparison.models import save_classifier


def drift(base: Path, other: Path, size: tuple[int, ...] | None = None) -> Drift:
    subjects = [open_subject(path, size) for path in (base, other)]
    outputs = [run(subject, IMAGENET_MEAN, IMAGENET_STD) for subject in subjects]
    return compare_outputs(outputs[0], outputs[1], subjects[0], subjects[1])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "base.onnx")


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 0),
        ({"shape": ("batch", 3, 32, 32)}, 0),
        ({"shape": (3, 3, 32, 32)}, 1e-6),  # eight images in batches of three, the last one filled up
        ({"shape": (1, 32, 32, 3), "layout": "NHWC"}, 1e-6),
        ({"element_type": TensorProto.DOUBLE}, 1e-6),
        ({"element_type": TensorProto.FLOAT16}, 1e-3),  # the input is rounded to 11 bits
        ({"element_type": TensorProto.UINT8, "pixels": True}, 1e-2),  # and here to whole pixel values
    ],
)
def test_the_same_images_reach_every_kind_of_input(
    base: Path, tmp_path: Path, options: dict[str, Any], tolerance: float
) -> None:
    found = drift(base, save_classifier(tmp_path / "other.onnx", **options))
    assert found.reason is None
    (output,) = found.outputs
    assert output.max_rel <= tolerance
    assert output.top1_agreement == 1
    assert output.spread > 0.1  # the images are told apart, so agreement says something


def test_a_changed_weight_shows(base: Path, tmp_path: Path) -> None:
    model = onnx.load(base)
    linear = next(item for item in model.graph.initializer if item.name == "linear")
    values = numpy_helper.to_array(linear).copy()
    values[0, 0] += 0.01
    linear.CopyFrom(numpy_helper.from_array(values, "linear"))
    onnx.save(model, tmp_path / "changed.onnx")
    (output,) = drift(base, tmp_path / "changed.onnx").outputs
    assert 1e-4 < output.max_rel < 1e-1
    assert output.snr_db < 80
    (scaled,) = drift(base, save_classifier(tmp_path / "scaled.onnx", scale=-1)).outputs
    assert scaled.top1_agreement == 0
    assert scaled.max_rel == pytest.approx(2)


def save_label_map(path: Path, sign: float = 1, *, cast: bool = False) -> Path:
    """Writes a map of labels, 0 to 2: the channel of the image that is the largest of (red, green, sign * blue)."""
    signs = numpy_helper.from_array(np.array([1, 1, sign], np.float32).reshape(1, 3, 1, 1), "signs")
    nodes = [
        helper.make_node("Mul", ["image", "signs"], ["signed"]),
        helper.make_node("ArgMax", ["signed"], ["places"], axis=1),
        helper.make_node("Cast", ["places"], ["labels"], to=TensorProto.FLOAT if cast else TensorProto.INT64),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    labels = helper.make_tensor_value_info("labels", TensorProto.FLOAT if cast else TensorProto.INT64, None)
    graph = helper.make_graph(nodes, "labels", [image], [labels], [signs])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_decisions_agree_or_do_not_and_have_no_difference(tmp_path: Path) -> None:
    base = save_label_map(tmp_path / "labels.onnx")
    for other in (base, save_label_map(tmp_path / "floats.onnx", cast=True)):
        found = drift(base, other)
        assert (found.outputs, found.reason) == ((), None)
        assert [(item.name, item.agreement) for item in found.decisions] == [("0", 1.0)]
    wrong = save_label_map(tmp_path / "wrong.onnx", -1)
    (decision,) = drift(base, wrong).decisions
    subjects = [open_subject(path, None) for path in (base, wrong)]
    ((labels,), (others,)) = (run(subject, IMAGENET_MEAN, IMAGENET_STD).values for subject in subjects)
    assert decision.agreement == (labels == others).mean()
    assert 0.1 < decision.agreement < 0.9


@pytest.mark.usefixtures("given_times")
def test_decisions_in_the_table_and_in_the_document(tmp_path: Path) -> None:
    paths = [save_label_map(tmp_path / "labels.onnx"), save_label_map(tmp_path / "wrong.onnx", -1)]
    comparison = compare_artifacts(ComparisonRequest(paths, threads=1, seconds=0.1))
    drifts = [item["drift"] for item in comparison_document(comparison)["results"]]
    assert drifts[0]["decisions"] == [{"name": "0", "agreement": 1.0}]
    assert drifts[1]["max_rel"] is None
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(comparison_table(comparison))
    assert f"{drifts[1]['decisions'][0]['agreement']:.0%}" in console.export_text()


def test_what_cannot_be_compared_has_a_reason(base: Path, tmp_path: Path) -> None:
    larger = drift(base, save_classifier(tmp_path / "larger.onnx", (1, 3, 48, 32)))
    assert larger == Drift((), "its images are 3x48x32, the base's 3x32x32")
    classes = drift(base, save_classifier(tmp_path / "classes.onnx", classes=7))
    assert classes == Drift((), "its output 0 has the shape 7, the base's 5")
    more = drift(base, save_classifier(tmp_path / "more.onnx", outputs=2))
    assert more.reason == "it has 2 outputs, the base 1"
    assert more.outputs[0].max_abs == 0
    broken = drift(base, save_classifier(tmp_path / "broken.onnx", scale=np.nan))
    assert broken.reason == "it has NaN or infinite values in output 0"
    assert np.isnan(broken.outputs[0].max_rel)


def save_inputs(path: Path, *inputs: tuple[str, int, list[int]]) -> Path:
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    outputs = [helper.make_tensor_value_info("y", inputs[0][1], None)]
    graph = helper.make_graph([helper.make_node("Identity", [inputs[0][0]], ["y"])], "g", values, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.usefixtures("given_times")
def test_what_takes_no_image_is_timed_only(tmp_path: Path) -> None:
    tokens = save_inputs(tmp_path / "tokens.onnx", ("tokens", TensorProto.INT64, [1, 16]))
    image = ("a", TensorProto.FLOAT, [1, 3, 8, 8])
    two = save_inputs(tmp_path / "two.onnx", image, ("b", TensorProto.FLOAT, [1, 3, 8, 8]))
    for path, inputs in ((tokens, "tokens INT64 [1, 16]"), (two, "a FLOAT [1, 3, 8, 8], b FLOAT [1, 3, 8, 8]")):
        request = ComparisonRequest([path, path], threads=1, seconds=0.1)
        base, other = compare_artifacts(request).results
        assert base.drift.reason is not None
        assert inputs in base.drift.reason
        assert other.drift.outputs == ()
        assert other.ratio is not None


def test_a_size_that_a_file_does_not_have_is_refused(tmp_path: Path) -> None:
    path = save_classifier(tmp_path / "a.onnx", (1, 3, 32, 32))
    assert open_subject(path, (32, 32)).image_shape == (3, 32, 32)
    with pytest.raises(UsageError, match="32x32 fixed in its graph"):
        open_subject(path, (64, 64))


def test_what_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is no ONNX file, whatever its name says\n")
    with pytest.raises(ArtifactError, match=r"text\.onnx is no ONNX file"):
        open_subject(tmp_path / "text.onnx", None)
    with pytest.raises(ArtifactError, match="there is no artifact"):
        open_subject(tmp_path / "none.onnx", None)
    (tmp_path / "net.txt").touch()
    with pytest.raises(ArtifactError, match="is no artifact"):
        open_subject(tmp_path / "net.txt", None)


def test_free_sizes_are_given_by_the_user(base: Path, tmp_path: Path) -> None:
    free = save_classifier(tmp_path / "free.onnx", ("n", 3, "height", "width"))
    with pytest.raises(UsageError, match=r"leaves sizes of its input image free: height, width") as caught:
        open_subject(free, None)
    assert caught.value.hint == "fix them with --input-size HxW"
    assert open_subject(free, (48, 32)).shape == (1, 3, 48, 32)
    assert drift(base, free, (32, 32)).outputs[0].max_rel <= 1e-6
    channels = save_classifier(tmp_path / "channels.onnx", ("n", "c", 32, 32))
    with pytest.raises(UsageError, match="free: c"):
        open_subject(channels, (32, 32))
    assert open_subject(channels, (3, 32, 32)).shape == (1, 3, 32, 32)


def test_the_layout_is_told_by_the_channels(tmp_path: Path) -> None:
    nhwc = save_classifier(tmp_path / "nhwc.onnx", (1, 40, 32, 3), layout="NHWC")
    assert open_subject(nhwc, None).image_shape == (3, 40, 32)
    assert open_subject(save_classifier(tmp_path / "nchw.onnx", (1, 3, 40, 32)), None).image_shape == (3, 40, 32)
