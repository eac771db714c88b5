"""What an artifact says of its head, written and read back as untrusted input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.images.preparation import normalise
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.origin import model_request
from mobilevit_deploy.pipeline.provenance import HeadNote, Provenance, parse
from mobilevit_deploy.targets.artifact import Entry, FileDescription
from tests.conftest import RESEARCH

METADATA = {
    "mvd.model": "cas_vit_xs",
    "mvd.task": "detect",
    "mvd.trained": "false",
    "mvd.weights": "no checkpoint given",
    "mvd.recipe": "onnx",
    "mvd.precision": "fp32",
}
OWN_CODE = {**METADATA, "mvd.model": "net_build", "mvd.own_code": "true", "mvd.task": "classify"}
RULE = {"candidates": 1000, "score_threshold": 0.3, "iou_threshold": 0.6, "max_detections": 7}


@pytest.mark.usefixtures("pyramid")
def test_what_was_asked_of_a_head_comes_back() -> None:
    asked = HeadOptions("nms", 0.3, 0.6, 7)
    head = load_model(ModelRequest("cas_vit_xs", "detect", num_classes=3, head=asked)).head
    assert head is not None
    noted = HeadNote.of(head)
    assert noted.model_dump(exclude_defaults=True) == {"output": "nms", "num_classes": 3, "suppression": RULE}
    read = parse({**METADATA, "mvd.head": noted.model_dump_json()}, "a.onnx")
    assert read is not None
    assert read.head == noted
    assert noted.options() == asked
    assert HeadNote(output="boxes", num_classes=3).options() == HeadOptions("boxes")


def test_a_declared_head_comes_back() -> None:
    declaration = catalog.head_declaration(RESEARCH / "heads" / "ssd.toml")
    asked = HeadOptions("raw", declaration=declaration)
    head = load_model(ModelRequest(f"{RESEARCH / 'own_heads.py'}:ssd", "detect", size=(48, 64), head=asked)).head
    assert head is not None
    text = json.dumps(HeadNote.of(head).model_dump(mode="json", exclude_defaults=True))
    read = parse({**METADATA, "mvd.head": text}, "a.onnx")
    assert read is not None
    assert read.head is not None
    assert read.head.options() == asked


BROKEN: dict[str, Any] = {
    "a declaration of nothing": {"output": "raw", "num_classes": 3, "declaration": {"task": "detect"}},
    "a declaration of no task": {"output": "raw", "num_classes": 3, "declaration": {"task": "planted"}},
    "another output": {"output": "planted", "num_classes": 3},
    "no classes": {"output": "boxes", "num_classes": 0},
    "more classes than there is memory for": {"output": "boxes", "num_classes": 2**40},
    "classes in words": {"output": "boxes", "num_classes": "many"},
    "no output": {"num_classes": 3},
    "a list": [1, 2],
    "a negative threshold": {"output": "nms", "num_classes": 3, "suppression": {**RULE, "score_threshold": -1}},
    "no number": {"output": "nms", "num_classes": 3, "suppression": {**RULE, "iou_threshold": float("nan")}},
    "a thousand million boxes": {"output": "nms", "num_classes": 3, "suppression": {**RULE, "max_detections": 10**9}},
    "an unknown rule": {"output": "nms", "num_classes": 3, "suppression": {**RULE, "planted": 1}},
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_ones_are_refused(case: str) -> None:
    with pytest.raises(ArtifactError, match=r"what a.onnx says of its own export is malformed: head"):
        parse({**METADATA, "mvd.head": json.dumps(BROKEN[case])}, "a.onnx")


@pytest.mark.parametrize("value", ["text", 10**9, 1e300, [1, "a"], [[[1]]], [0] * 65, {"a": 1}])
def test_what_a_file_may_not_hand_to_code(value: object) -> None:
    noted = parse({**OWN_CODE, "mvd.model_arguments": json.dumps({"width": 5, "value": value})}, "a.onnx")
    with pytest.raises(ArtifactError, match="gives code only small numbers that a file names") as caught:
        request_of(noted)
    assert str(caught.value.hint).startswith("add --model-arg value=")
    assert request_of(noted, value="given").arguments == {"width": 5, "value": "given"}
    assert request_of(parse({**METADATA, "mvd.model_arguments": '{"width": 5}'}, "a.onnx")).arguments == {}


@pytest.mark.parametrize("text", ["[1]", "3", '"width"', "[" * 9000])
def test_arguments_that_are_none(text: str) -> None:
    with pytest.raises(ArtifactError, match="malformed"):
        parse({**OWN_CODE, "mvd.model_arguments": text}, "a.onnx")


def test_numbers_of_a_file_are_handed_to_the_function_that_it_was_made_of() -> None:
    arguments = {"width": 5, "depths": [2, 2], "scale": 0.5, "bias": True, "norm": None, "num_classes": 7}
    noted = parse({**OWN_CODE, "mvd.model_arguments": json.dumps(arguments)}, "a.onnx")
    assert request_of(noted).arguments == arguments
    assert request_of(noted, model="other.py:build").arguments == {}


def request_of(noted: Provenance | None, model: str = "net.py:build", **given: object) -> ModelRequest:
    entry, output = Entry((1, 3, 8, 8)), TensorSpec("y", (1, 5))
    file = FileDescription(Path("a.onnx"), "onnx", {}, (entry,), (output,))
    return model_request(file, noted, model=model, checkpoint=None, selection=None, arguments=given)[0]


def test_pictures_for_a_model_of_bgr_are_prepared_in_its_order() -> None:
    """As the graph has mean and std: blue first. A red picture that is fed as a blue one gets another class."""
    image = {"color": "BGR", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    said = {**METADATA, "mvd.task": "classify", "mvd.recipe": "coreml", "mvd.image": json.dumps(image)}
    noted = parse(said, "net.mlpackage")
    assert noted is not None
    prepared = noted.image_preparation()
    assert prepared is not None
    assert (prepared.color, prepared.mean, prepared.std) == ("BGR", (0.3, 0.2, 0.1), (0.6, 0.5, 0.4))
    white = np.full((1, 3, 2, 2), 255, np.uint8)
    white[:, 0] = 51  # red
    normalised = normalise(white, prepared)[0, :, 0, 0]
    assert normalised == pytest.approx([(1 - 0.1) / 0.4, (1 - 0.2) / 0.5, (0.2 - 0.3) / 0.6])
