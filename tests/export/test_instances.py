"""Mask R-CNN, exported: what the file returns, what it and its report say, and that wrong files are told from it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from typer.testing import Result

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.images.annotations import Annotations
from mobilevit_deploy.images.test_images import IMAGENET_MEAN, IMAGENET_STD, make_samples
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.verification.before_decision import BEFORE
from mobilevit_deploy.verification.report import VerifyFailedError
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import small_pyramid
from tests.support.annotated import coco, pictures, write_boxes, write_pictures
from tests.support.damage.forget import forget
from tests.support.schemas import check

Mvd = Callable[..., Result]
THRESHOLD, MOST = 0.3, 20
HEAD = HeadOptions("nms", THRESHOLD, 0.4, MOST)
IMAGE = make_samples(1, 3, 64, 64)


def request(head: HeadOptions = HEAD) -> ModelRequest:
    return ModelRequest("cas_vit_xs", "instances", size=(64, 64), num_classes=5, head=head)


@pytest.mark.parametrize("target", ["coreml", "executorch", "coreai"])
def test_a_target_without_roi_align_is_refused_and_given_the_maps(target: str) -> None:
    for head in (HeadOptions(), HeadOptions("nms")):
        with pytest.raises(UsageError, match=r"--task instances, but .* has no RoIAlign") as caught:
            ExportRequest(request(head), ("onnx", target)).model_request()
        assert caught.value.hint is not None
        assert "--output raw" in caught.value.hint
    assert ExportRequest(request(HeadOptions("raw")), (target,)).model_request().head.output == "raw"
    assert ExportRequest(request(HeadOptions()), ("onnx",)).model_request().head.output == "nms"


@pytest.fixture(scope="module", autouse=True)
def pyramid() -> Iterator[None]:
    with small_pyramid():
        yield


@pytest.fixture(scope="module")
def own(pyramid: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - a small model
    """Two images, with the best boxes that the model itself finds, all of whose pixels are the instance's."""
    folder, images = tmp_path_factory.mktemp("own"), pictures(2, 64, 64)
    write_pictures(folder / "images", images)
    boxes = []
    for number, pixels in enumerate(images):
        image = ((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None].astype(np.float32)
        with torch.no_grad():
            found = load_model(request()).module(torch.from_numpy(image))
        for (x1, y1, x2, y2), label in zip(
            found["boxes"][0, :3].tolist(), found["labels"][0, :3].tolist(), strict=True
        ):
            boxes.append((number, label, (x1, y1, x2 - x1, y2 - y1)))
    content = coco([(64, 64)] * 2, boxes, "abcde")
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    write_boxes(folder / "boxes.json", content)
    return folder


@pytest.fixture(scope="module")
def exported(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    known = Annotations(boxes=own / "boxes.json")
    folder = tmp_path_factory.mktemp("instances")
    (report,) = export_model(
        ExportRequest(request(), ("onnx",), folder=folder, images=own / "images", annotations=known)
    )
    return report


@pytest.mark.slow
def test_instances(exported: Any) -> None:
    assert exported.parity.status == "passed"
    assert exported.accuracy.reference > 0.9  # the best boxes are what there is
    assert exported.accuracy.artifact == pytest.approx(exported.accuracy.reference)
    before, after = exported.accuracy.before.masks, exported.accuracy.after.masks
    assert 0 <= before.ap <= before.ap50 <= 1
    assert (after.ap, after.ap50) == pytest.approx((before.ap, before.ap50))
    legs = {leg.subject: leg for leg in exported.parity.legs}
    assert {"rewritten graph", "artifact", BEFORE} == set(legs)
    assert [output.name for output in legs[BEFORE].outputs] == ["boxes", "scores"]
    document = json.loads((exported.artifact.path.parent / f"{exported.artifact.path.name}.json").read_text())
    check("export-report", json.dumps(document))
    rule = {"candidates": 1000, "candidates_of": "class", "score_threshold": 0.3, "iou_threshold": 0.4}
    assert document["head"]["suppression"] == {**rule, "max_detections": MOST, "strides": [], "anchors": 1}
    model = onnx.load(exported.artifact.path)
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(str(exported.artifact.path))
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"input": IMAGE}), strict=True))
    shapes = {"boxes": (1, MOST, 4), "scores": (1, MOST), "labels": (1, MOST), "count": (1,)}
    assert {name: array.shape for name, array in found.items()} == shapes | {"masks": (1, MOST, 28, 28)}
    with torch.no_grad():
        expected = load_model(request()).module(torch.from_numpy(IMAGE))
    assert 0 < found["count"] == int(expected["count"])
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name].numpy(), atol=1e-2 if name == "boxes" else 1e-3)  # pixels


@pytest.mark.slow
def test_the_file_is_verified(exported: Any, own: Path) -> None:
    known = Annotations(boxes=own / "boxes.json")
    verified = verify_artifact(VerifyRequest(exported.artifact.path, images=own / "images", annotations=known))
    assert verified.parity.status == "passed"
    assert verified.accuracy == exported.accuracy


def _of_regions(name: str, value: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type == "RoiAlign":
                kept = [attribute for attribute in node.attribute if attribute.name != name]
                del node.attribute[:]
                node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def _of_weight(name: str, change: Callable[[Any], Any]) -> Callable[[onnx.ModelProto], None]:
    def write(model: onnx.ModelProto) -> None:
        (weight,) = (item for item in model.graph.initializer if item.name == name)
        weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)).copy(), weight.name))

    return write


def _of_next_class(model: onnx.ModelProto) -> None:
    """Takes the mask of the next class."""
    _of_weight("roi_head.mask_head.conv_logits.weight", lambda weight: np.roll(weight, 1, axis=0))(model)
    _of_weight("roi_head.mask_head.conv_logits.bias", lambda bias: np.roll(bias, 1))(model)


def _without_clipping(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Min":
            node.op_type = "Identity"
            del node.input[1:]


WRONG: dict[str, Callable[[onnx.ModelProto], None]] = {
    "RoIAlign half a pixel off": _of_regions("coordinate_transformation_mode", "output_half_pixel"),
    "two samples in each direction": _of_regions("sampling_ratio", 2),
    "the largest sample": _of_regions("mode", "max"),
    "the mask of the next class": _of_next_class,
    "not clipped": _without_clipping,
    "a weight of the first stage that turns no decision": _of_weight(
        "rpn_head.rpn_reg.weight", lambda weight: weight * np.float32(1.0005)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_noticed(wrong: str, exported: Any, tmp_path: Path) -> None:
    model = onnx.load(exported.artifact.path)
    WRONG[wrong](model)
    forget(model)
    path = tmp_path / exported.artifact.path.name
    onnx.save(model, path)

    with pytest.raises(VerifyFailedError):
        verify_artifact(VerifyRequest(path))
