"""What an artifact says of its head, written and read back as untrusted input."""

import json
from typing import Any

import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.provenance import HeadNote, parse

METADATA = {
    "mvd.model": "cas_vit_xs",
    "mvd.task": "detect",
    "mvd.trained": "false",
    "mvd.weights": "no checkpoint given",
    "mvd.recipe": "onnx",
    "mvd.precision": "fp32",
}
RULE = {"candidates": 1000, "score_threshold": 0.3, "iou_threshold": 0.6, "max_detections": 7}


@pytest.mark.usefixtures("pyramid")
def test_what_was_asked_of_a_head_comes_back() -> None:
    asked = HeadOptions("nms", 0.3, 0.6, 7)
    head = load_model(ModelRequest("cas_vit_xs", "detect", num_classes=3, head=asked)).head
    assert head is not None
    noted = HeadNote.of(head)
    assert noted.model_dump() == {"output": "nms", "num_classes": 3, "suppression": RULE}
    read = parse({**METADATA, "mvd.head": noted.model_dump_json()}, "a.onnx")
    assert read is not None
    assert read.head == noted
    assert noted.options() == asked
    assert HeadNote(output="boxes", num_classes=3).options() == HeadOptions("boxes")


BROKEN: dict[str, Any] = {
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
