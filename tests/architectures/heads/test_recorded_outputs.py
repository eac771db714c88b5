"""Whole models beside what MMSegmentation and MMDetection computed, and wrong ones that the records tell from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads import semantic_fpn
from mobilevit_deploy.architectures.heads.anchors import BoxDecoder, anchor_shapes, by_box, clip_boxes
from mobilevit_deploy.architectures.heads.retinanet import BOXES
from mobilevit_deploy.architectures.operations.suppression import suppress
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import Suppression, SuppressionRule
from mobilevit_deploy.catalog.head_declaration import Anchors, Boxes, Levels
from mobilevit_deploy.loading.catalog_model import _build
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.verification.detections import judge_detections
from tests.support.recorded import (
    SCORES,
    Recorded,
    case_of,
    label_agreement,
    largest_errors,
    recorded_detections,
    recorded_head,
)

TOLERANCE = 1e-5  # of the largest value: float32 comes to 1.5e-6 here
CASES = {"segment": 0, "detect": 1}  # the smaller of the two; the other one is a slow test
ANCHORS = {"octave_base_scale": 4, "scales_per_octave": 3, "ratios": [0.5, 1.0, 2.0]}

Maps = dict[str, Tensor]


def build(record: Recorded, output: str) -> nn.Module:
    card = catalog.model(record.facts["model"])
    task = record.facts["task"]
    module = _build(card, task, catalog.heads()[task].num_classes, {}, HeadOptions(output)).eval()  # type: ignore[arg-type]
    module.load_state_dict(record.state)
    return module


def run(record: Recorded, output: str, number: int) -> Maps:
    with torch.no_grad():
        found: Maps = build(record, output)(record.input(case_of(record, number)[0]))
    return found


@pytest.mark.parametrize("task", CASES)
def test_state_dict(task: str) -> None:
    record = recorded_head(task)
    with torch.device("meta"):
        module = _build(catalog.model("cas_vit_xs"), task, catalog.heads()[task].num_classes, {})  # type: ignore[arg-type, index]
    found = [[name, list(value.shape), str(value.dtype)[6:]] for name, value in module.state_dict().items()]
    assert found == record.facts["state_dict"]
    assert sum(parameter.numel() for parameter in module.parameters()) == record.facts["parameters"]


@pytest.fixture(scope="module")
def logits() -> Tensor:
    return run(recorded_head("segment"), "logits", CASES["segment"])["logits"]


@pytest.fixture(scope="module")
def maps() -> Maps:
    return run(recorded_head("detect"), "raw", CASES["detect"])


def test_logits(logits: Tensor) -> None:
    assert max(largest_errors(recorded_head("segment"), {"logits": logits}, CASES["segment"])) < TOLERANCE


def test_maps(maps: Maps) -> None:
    assert max(largest_errors(recorded_head("detect"), maps, CASES["detect"])) < TOLERANCE


def agreement(logits: Tensor, number: int, *, align_corners: bool = False) -> float:
    """Returns the share of the recorded label map, where it is sure, that logits give."""
    record = recorded_head("segment")
    size = case_of(record, number)[0]["input_shape"][2:]
    full = F.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners)
    return label_agreement(record, full.argmax(1).numpy(), number)


def test_label_map(logits: Tensor) -> None:
    assert agreement(logits, CASES["segment"]) == 1


def test_a_label_map_between_other_corners_is_noticed(logits: Tensor) -> None:
    assert agreement(logits, CASES["segment"], align_corners=True) < 0.999


def test_an_upsampling_between_other_corners_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(_self: nn.Module, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    monkeypatch.setattr(semantic_fpn.Double, "forward", forward)
    record = recorded_head("segment")
    assert max(largest_errors(record, run(record, "logits", CASES["segment"]), CASES["segment"])) > 100 * TOLERANCE


STRIDES = (8, 16, 32, 64, 128)


def detections(maps: Maps, number: int, **wrong: Any) -> tuple[list[Any], list[Any]]:
    """Returns what is recorded, and what the maps give when they are decoded, perhaps wrongly."""
    record = recorded_head("detect")
    height, width = case_of(record, number)[0]["input_shape"][2:]
    rule = catalog.heads()["detect"].suppression
    assert rule
    parts: dict[str, Any] = {
        "boxes": BOXES,
        "levels": Levels(strides=STRIDES),
        "anchors": anchor_shapes(**ANCHORS),  # type: ignore[arg-type]
    }
    decoder = BoxDecoder(**{name: wrong.pop(name, part) for name, part in parts.items()})
    change, clip = wrong.pop("deltas", lambda deltas: deltas), wrong.pop("clip", None)
    deltas, logits = (by_box([maps[f"{name}{i}"] for i in range(5)], None, 9) for name in ("bbox_pred", "cls_score"))
    found_boxes, scores = decoder(change(deltas), height, width), logits.sigmoid()
    if clip:
        found_boxes = clip_boxes(found_boxes, *clip)
    sizes = Suppression(**rule.model_dump(), strides=STRIDES, anchors=9).level_sizes(deltas.shape[1], height, width)
    found = [part.numpy().astype(np.float64) for part in suppress(found_boxes, scores, sizes, **_rule(rule, wrong))]
    return recorded_detections(record, number), found


def _rule(rule: SuppressionRule, wrong: dict[str, Any]) -> dict[str, Any]:
    return {**rule.model_dump(exclude={"candidates_of"}), **wrong}


def test_detections(maps: Maps) -> None:
    found, reasons = judge_detections(*detections(maps, CASES["detect"]), SCORES, ())
    assert reasons == []
    assert found.missing <= 1
    assert found.smallest_iou > 0.99
    assert found.largest_score_difference < 1e-4


SHAPES = anchor_shapes(**ANCHORS).of_levels(1)[0]  # type: ignore[arg-type]


def anchors(shapes: Sequence[tuple[float, float]]) -> Anchors:
    return Anchors(shapes=(tuple(shapes),), unit="strides")


def boxes(**changed: object) -> Boxes:
    return BOXES.model_copy(update=changed)


WRONG: dict[str, dict[str, Any]] = {
    "scale outer, ratio inner": {"anchors": anchors([SHAPES[3 * j + i] for i in range(3) for j in range(3)])},
    "width and height swapped": {"anchors": anchors([(height, width) for width, height in SHAPES])},
    "centres of pixels": {"levels": Levels(strides=STRIDES, centre=1 / 16)},
    "centres of cells": {"levels": Levels(strides=STRIDES, centre=0.5)},
    "not clipped": {"boxes": boxes(clip=False)},
    "clipped to height and width swapped": {"boxes": boxes(clip=False), "clip": (320, 224)},
    "stds of another coder": {"boxes": boxes(stds=(0.1, 0.1, 0.2, 0.2))},
    "another IoU": {"iou_threshold": 0.6},
    "fewer candidates": {"candidates": 10},
    "candidates of each class": {"candidates": 10, "per_class": True},
    "y before x": {"deltas": lambda deltas: deltas[..., [1, 0, 3, 2]]},
    "sides before centre": {"deltas": lambda deltas: deltas[..., [2, 3, 0, 1]]},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_detections_are_noticed(maps: Maps, wrong: str) -> None:
    _, reasons = judge_detections(*detections(maps, CASES["detect"], **WRONG[wrong]), SCORES, ())
    assert "are missing of which" in reasons[0]


@pytest.mark.slow
def test_the_other_sizes() -> None:
    segment, detect = 1 - CASES["segment"], 1 - CASES["detect"]
    found = run(recorded_head("segment"), "logits", segment)
    assert max(largest_errors(recorded_head("segment"), found, segment)) < TOLERANCE
    assert agreement(found["logits"], segment) == 1
    found = run(recorded_head("detect"), "raw", detect)
    assert max(largest_errors(recorded_head("detect"), found, detect)) < TOLERANCE
    agreed, reasons = judge_detections(*detections(found, detect), SCORES, ())
    assert (reasons, agreed.missing) == ([], 0)
