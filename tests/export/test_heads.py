"""Whole segmenters and detectors, exported: what files return, what they and reports say, and verifying them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from typer.testing import Result

from mobilevit_deploy.architectures.operations.suppression import suppress
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.catalog.model_card import Task
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.export.document import export_document
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD, make_samples
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.report.accuracy import accuracy_lines
from mobilevit_deploy.runners.app_interface import Borders
from mobilevit_deploy.verification.accuracy.segmentation import SegmentAccuracy
from mobilevit_deploy.verification.before_decision import BEFORE, compare_before
from mobilevit_deploy.verification.parity import Comparison, ParityReport
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import small_pyramid
from tests.support.annotated import Pixels, coco, pictures, write_boxes, write_masks, write_pictures
from tests.support.schemas import check, read

pytestmark = pytest.mark.usefixtures("pyramid")

Mvd = Callable[..., Result]
IMAGE = make_samples(1, 3, 64, 64)
SIZES = [9 * 8 * 8, 9 * 4 * 4, 9 * 2 * 2, 9, 9]  # boxes of each level


def annotations_of(task: Task, own: Path) -> Annotations:
    return Annotations(masks=own / "masks") if task == "segment" else Annotations(boxes=own / "boxes.json")


def export(task: Task, folder: Path, own: Path | None = None, **head: Any) -> list[ExportReport]:
    request = ModelRequest("cas_vit_xs", task, size=(64, 64), num_classes=5, head=HeadOptions(**head))
    annotations = annotations_of(task, own) if own else Annotations()
    images = own / "images" if own else None
    return export_model(ExportRequest(request, ("onnx",), folder=folder, images=images, annotations=annotations))


def run(report: ExportReport) -> dict[str, np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(str(report.artifact.path))
    names = [output.name for output in session.get_outputs()]
    assert [tuple(output.shape) for output in session.get_outputs()] == [output.shape for output in report.outputs]
    return dict(zip(names, session.run(None, {"input": IMAGE}), strict=True))


def pytorch(task: Task, output: Output, image: Any = IMAGE) -> dict[str, torch.Tensor]:
    request = ModelRequest("cas_vit_xs", task, size=(64, 64), num_classes=5, head=HeadOptions(output))
    with torch.no_grad():
        found: dict[str, torch.Tensor] = load_model(request).module(torch.from_numpy(image))
    return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of the input's size, with label maps, and with the best boxes that the detector itself finds."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    images = pictures(2, 64, 64)
    write_pictures(folder / "images", images)
    masks = [rng.integers(0, 5, (64, 64)).astype(np.uint8) for _ in range(2)]
    masks[0][:9] = 255
    write_masks(folder / "masks", masks)
    boxes = []
    for number, pixels in enumerate(images):
        with small_pyramid():
            found = pytorch("detect", "boxes", normalised(pixels))
        left, _, labels, _ = suppress(found["boxes"], found["scores"], SIZES, 1000, 0.02, 0.4, 3)
        for (x1, y1, x2, y2), label in zip(left[0].tolist(), labels[0].tolist(), strict=True):
            boxes.append((number, label, (x1, y1, x2 - x1, y2 - y1)))
    write_boxes(folder / "boxes.json", coco([(64, 64)] * 2, boxes, "abcde"))
    return folder


def normalised(pixels: Pixels) -> Any:
    return ((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None].astype(np.float32)


@pytest.fixture(scope="module")
def labels(own: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    with small_pyramid():
        (report,) = export("segment", tmp_path_factory.mktemp("labels"), own)
    return report


def compare(path: Path) -> ParityReport:
    """Compares the numbers behind which a file decides."""
    model = load_model(ModelRequest("cas_vit_xs", "segment", size=(64, 64), num_classes=5))
    assert model.head is not None
    comparison, borders = Comparison(), Borders(decision=model.head.decision)
    compare_before(model, "onnx", path, None, borders, catalog.recipe("onnx"), "fp32", None, comparison)
    (leg,) = comparison.legs
    assert (leg.subject, [output.name for output in leg.outputs]) == (BEFORE, ["logits"])
    return comparison.report()


def test_a_weight_that_turns_no_label_is_noticed(labels: ExportReport, tmp_path: Path) -> None:
    assert compare(labels.artifact.path).status != "failed"
    model = onnx.load(labels.artifact.path)
    (weight,) = (item for item in model.graph.initializer if item.name == "decode_head.conv_seg.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.0001), weight.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    sessions = [onnxruntime.InferenceSession(path) for path in (labels.artifact.path, tmp_path / "wrong.onnx")]
    before, after = (session.run(None, {"input": IMAGE})[0] for session in sessions)
    assert (before == after).mean() > 0.999
    assert "logits differs by 9.9e-05 of the largest value" in str(compare(tmp_path / "wrong.onnx").reason)


def test_labels(labels: ExportReport) -> None:
    report = labels
    assert report.parity.status == "passed"
    assert BEFORE in {leg.subject for leg in report.parity.legs}
    found = run(report)
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {"labels": (np.int32, (1, 64, 64))}
    assert (found["labels"] == pytorch("segment", "labels")["logits"].argmax(1).numpy()).mean() > 0.999
    assert len(np.unique(found["labels"])) > 1
    assert {node.domain for node in onnx.load(report.artifact.path).graph.node} == {""}
    document = export_document(report)
    check("export-report", json.dumps(document))
    assert document["head"] == {
        "name": "semantic_fpn",
        "output": "labels",
        "num_classes": 5,
        "classes": [],
        "palette": [],
        "suppression": None,
        "declaration": None,
    }


def test_intersection_over_union_of_images_of_ones_own(labels: ExportReport, own: Path) -> None:
    accuracy = labels.accuracy
    assert isinstance(accuracy, SegmentAccuracy)
    session = onnxruntime.InferenceSession(str(labels.artifact.path))
    shared, union = np.zeros(5), np.zeros(5)
    for number in range(2):
        with Image.open(own / "images" / f"{number}.png") as image, Image.open(own / "masks" / f"{number}.png") as mask:
            pixels, wanted = np.asarray(image), np.asarray(mask)
        found = session.run(None, {"input": normalised(pixels)})[0][0]
        for place in range(5):
            first, second = (wanted == place) & (wanted != 255), (found == place) & (wanted != 255)
            shared[place] += (first & second).sum()
            union[place] += (first | second).sum()
    assert accuracy.after.ious == pytest.approx(tuple(shared / union))
    assert accuracy.artifact == pytest.approx(float(np.mean(shared / union)))
    assert accuracy.reference == pytest.approx(accuracy.artifact, abs=1e-3)
    text = "\n".join(accuracy_lines(accuracy))
    assert f"mIoU on 2 of your images: PyTorch {accuracy.reference:.1%}, this file {accuracy.artifact:.1%}" in text


def test_detections(mvd: Mvd, own: Path) -> None:
    asked = ("export", "cas_vit_xs", "--task", "detect", "--num-classes", 5, "--input-size", 64, "--to", "onnx")
    thresholds = ("--score-threshold", 0.02, "--iou-threshold", 0.4, "--max-detections", 30)
    given = ("--images", own / "images", "--boxes", own / "boxes.json")
    result = mvd(*asked, *thresholds, *given, "--json")
    assert result.exit_code == 0, result.stderr
    (report,) = read("export", result.stdout)["artifacts"]
    check("export-report", json.dumps(report))
    assert report["parity"]["status"] == "passed"
    assert (report["accuracy"]["images"], report["accuracy"]["metric"]) == (2, "AP50:95")
    assert report["accuracy"]["reference"] == pytest.approx(1)  # the best detections are what there is
    assert report["accuracy"]["artifact"] == pytest.approx(1)
    assert sum(item["boxes"] for item in report["accuracy"]["classes"]) == 6
    rule = {"candidates": 1000, "score_threshold": 0.02, "iou_threshold": 0.4, "max_detections": 30}
    assert report["head"]["suppression"] == {
        **rule,
        "candidates_of": "level",
        "strides": [8, 16, 32, 64, 128],
        "anchors": 9,
    }
    model = onnx.load(report["path"])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["mvd.head"]) == {"output": "nms", "num_classes": 5, "suppression": rule}
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(report["path"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"input": IMAGE}), strict=True))
    shapes = {"boxes": (1, 30, 4), "scores": (1, 30), "labels": (1, 30), "count": (1,)}
    assert {name: array.shape for name, array in found.items()} == shapes
    before = pytorch("detect", "boxes")
    expected = suppress(before["boxes"], before["scores"], SIZES, 1000, 0.02, 0.4, 30)
    assert 0 < found["count"] == int(expected[3]) <= 30
    np.testing.assert_allclose(found["scores"], expected[1].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("task", "output", "names"),
    [
        ("segment", "logits", ["logits"]),
        pytest.param("detect", "boxes", ["boxes", "scores"], marks=pytest.mark.slow),
        pytest.param(
            "detect",
            "raw",
            [f"{name}{i}" for name in ("cls_score", "bbox_pred") for i in range(5)],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_before_a_decision(task: Task, output: Output, names: list[str], tmp_path: Path) -> None:
    (report,) = export(task, tmp_path, output=output)
    assert report.parity.status == "passed"
    found, expected = run(report), pytorch(task, output)
    assert list(found) == list(expected) == names
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name].numpy(), atol=1e-4 * float(expected[name].abs().max()))


VERIFIED = [("segment", "labels"), ("segment", "logits"), ("detect", "boxes"), ("detect", "nms")]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "output"), VERIFIED)
def test_a_file_is_verified_as_it_was_exported(task: Task, output: Output, own: Path, tmp_path: Path) -> None:
    (report,) = export(task, tmp_path, own, output=output)
    known = annotations_of(task, own)
    verified = verify_artifact(VerifyRequest(report.artifact.path, images=own / "images", annotations=known))
    assert verified.parity.status == "passed"
    assert verified.accuracy == report.accuracy
    assert verified.accuracy is not None


def test_a_target_without_suppression_gets_the_boxes() -> None:
    request = ModelRequest("cas_vit_xs", "detect")
    assert ExportRequest(request, ("onnx",)).model_request().head.output == "nms"
    assert ExportRequest(request, ("onnx", "executorch")).model_request().head.output == "boxes"
    asked = ModelRequest("cas_vit_xs", "detect", head=HeadOptions("nms"))
    with pytest.raises(UsageError, match="--output nms, but ExecuTorch has no operation for") as caught:
        ExportRequest(asked, ("onnx", "executorch")).model_request()
    assert caught.value.hint == "give --output boxes, and let the app choose among the boxes"
