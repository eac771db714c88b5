"""Declared heads beside what the libraries of such heads compute, box by box; wrong declarations are noticed.

Sources of the definitions: torchvision 0.29 (``SSD``, ``FCOS``, ``BoxCoder``, ``BoxLinearCoder``,
``DefaultBoxGenerator``), YOLOX's ``decode_outputs``.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.architectures.heads.anchors import BoxDecoder
from mobilevit_deploy.architectures.heads.declared import build
from mobilevit_deploy.architectures.operations.suppression import suppress
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.head_declaration import Boxes, DetectorDeclaration
from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.verification.detections import judge_detections
from tests.conftest import RESEARCH
from tests.research import own_heads

HEIGHT, WIDTH = 48, 64  # cells of 6 x 8 and 3 x 4
TOLERANCE = Tolerance(max_rel=1e-4, snr_db=0, top1_agreement=0.99, reason="float32 beside float64")

Row = tuple[list[float], list[float]]  # corners and scores of a box


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def clipped(corners: list[float]) -> list[float]:
    return [min(max(value, 0.0), limit) for value, limit in zip(corners, [WIDTH, HEIGHT] * 2, strict=True)]


def cells() -> Iterator[tuple[int, int, int, int, int]]:
    """Yields level, rows, columns, row and column of each cell."""
    for level, stride in enumerate(own_heads.STRIDES):
        rows, columns = HEIGHT // stride, WIDTH // stride
        yield from ((level, rows, columns, row, column) for row in range(rows) for column in range(columns))


def ssd_rows(outputs: dict[str, Tensor]) -> Iterator[Row]:
    shapes = (((0.3, 0.2), (0.5, 0.6)), ((0.6, 0.4), (0.7, 0.9)))
    anchors = [(cell, shape) for cell in cells() for shape in shapes[cell[0]]]
    codes, logits = (outputs[name][0].double().tolist() for name in ("bbox_regression", "cls_logits"))
    for ((_, rows, columns, row, column), (w, h)), code, logit in zip(anchors, codes, logits, strict=True):
        x = (column + 0.5) / columns * WIDTH + code[0] / 10 * w * WIDTH
        y = (row + 0.5) / rows * HEIGHT + code[1] / 10 * h * HEIGHT
        half_w = w * WIDTH * math.exp(min(code[2] / 5, math.log(1000 / 16))) / 2
        half_h = h * HEIGHT * math.exp(min(code[3] / 5, math.log(1000 / 16))) / 2
        powers = [math.exp(value - max(logit)) for value in logit]
        corners = clipped([x - half_w, y - half_h, x + half_w, y + half_h])
        yield corners, [power / sum(powers) for power in powers[1:]]


def fcos_rows(outputs: dict[str, Tensor]) -> Iterator[Row]:
    names = ("bbox_regression", "cls_logits", "bbox_ctrness")
    found = [outputs[name][0].double().tolist() for name in names]
    for (level, _, _, row, column), code, logit, (central,) in zip(cells(), *found, strict=True):
        stride = own_heads.STRIDES[level]
        x, y = column * stride, row * stride
        left, top, right, bottom = (value * stride for value in code)
        scores = [math.sqrt(sigmoid(value) * sigmoid(central)) for value in logit]
        yield clipped([x - left, y - top, x + right, y + bottom]), scores


def yolo_rows(outputs: list[Tensor]) -> Iterator[Row]:
    for level, _, _, row, column in cells():
        dx, dy, dw, dh, objectness, *classes = outputs[level][0, :, row, column].double().tolist()
        stride = own_heads.STRIDES[level]
        x, y = (column + dx) * stride, (row + dy) * stride
        half_w, half_h = math.exp(dw) * stride / 2, math.exp(dh) * stride / 2
        corners = [x - half_w, y - half_h, x + half_w, y + half_h]
        yield corners, [sigmoid(objectness) * sigmoid(value) for value in classes]


ROWS: dict[str, Callable[[Any], Iterator[Row]]] = {"ssd": ssd_rows, "fcos": fcos_rows, "yolo": yolo_rows}


def declared(name: str) -> DetectorDeclaration:
    found = catalog.head_declaration(RESEARCH / "heads" / f"{name}.toml")
    assert isinstance(found, DetectorDeclaration)
    return found


@cache
def expected(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns an image, and the boxes (1, N, 4) and scores (1, N, classes) of the definition."""
    image = torch.from_numpy(make_samples(1, 3, HEIGHT, WIDTH))
    with torch.no_grad():
        rows = list(ROWS[name](getattr(own_heads, name)()(image)))
    boxes, scores = (torch.tensor([[row[i] for row in rows]], dtype=torch.float64) for i in (0, 1))
    return image, boxes, scores


def found(name: str, declaration: DetectorDeclaration) -> dict[str, Tensor]:
    module = build(getattr(own_heads, name)(), declaration, own_heads.CLASSES, "boxes").eval()
    with torch.no_grad():
        outputs: dict[str, Tensor] = module(expected(name)[0])
    return outputs


def decided(name: str, boxes: Tensor, scores: Tensor) -> list[Any]:
    rule = declared(name).suppression
    levels = [HEIGHT // stride * WIDTH // stride for stride in own_heads.STRIDES]
    levels = [boxes.shape[1]] if name == "ssd" else levels
    thresholds = (rule.candidates, rule.score_threshold, rule.iou_threshold, rule.max_detections)
    decisions = suppress(boxes, scores, levels, *thresholds, rule.candidates_of == "class")
    return [part.numpy().astype(np.float64) for part in decisions]


@pytest.mark.parametrize("name", ROWS)
def test_as_its_definition(name: str) -> None:
    _, boxes, scores = expected(name)
    outputs = found(name, declared(name))
    assert outputs["boxes"].dtype == outputs["scores"].dtype == torch.float32
    np.testing.assert_allclose(outputs["boxes"].numpy(), boxes.numpy(), atol=1e-5 * WIDTH)
    np.testing.assert_allclose(outputs["scores"].numpy(), scores.numpy(), atol=1e-6)
    assert scores.std() > 0.1, "scores that say nothing would hide a mistake"
    assert decided(name, boxes, scores)[3].item() > 10


SWAPPED = ((((0.2, 0.3), (0.6, 0.5)), ((0.4, 0.6), (0.9, 0.7))),)
WRONG: dict[str, tuple[str, str, dict[str, Any]]] = {
    "width and height of anchors swapped": ("ssd", "anchors", {"shapes": SWAPPED[0]}),
    "another order of anchors": ("ssd", "anchors", {"shapes": (((0.5, 0.6), (0.3, 0.2)), ((0.7, 0.9), (0.6, 0.4)))}),
    "anchors of the other level": ("ssd", "anchors", {"shapes": (((0.6, 0.4), (0.7, 0.9)), ((0.3, 0.2), (0.5, 0.6)))}),
    "anchors at corners": ("ssd", "levels", {"centre": 0.0}),
    "no stds": ("ssd", "boxes", {"stds": (1.0, 1.0, 1.0, 1.0)}),
    "stds of sides for centres": ("ssd", "boxes", {"stds": (0.2, 0.2, 0.1, 0.1)}),
    "anchors without a clip": ("ssd", "boxes", {"clip": False}),
    "the background at the end": ("ssd", "scores", {"background": "last"}),
    "sigmoid for softmax": ("ssd", "scores", {"activation": "sigmoid"}),
    "points in the middle of cells": ("fcos", "levels", {"centre": 0.5}),
    "points half a pixel away": ("fcos", "levels", {"centre": 1 / 16}),
    "distances in pixels": ("fcos", "boxes", {"unit": "pixels"}),
    "distances without a clip": ("fcos", "boxes", {"clip": False}),
    "corners for distances": ("fcos", "boxes", {"format": "xyxy"}),
    "the product alone": ("fcos", "objectness", {"combine": "product"}),
    "objectness as it is": ("yolo", "objectness", {"activation": "none"}),
    "distances for deltas": ("yolo", "boxes", {"format": "ltrb", "unit": "strides"}),
    "a limit that is not there": ("yolo", "boxes", {"largest_scale": 1.2}),
    "a clip that is not there": ("yolo", "boxes", {"clip": True}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_declarations_are_noticed(wrong: str) -> None:
    """Of the right outputs: what is decided by them is not what their library decides."""
    name, part, change = WRONG[wrong]
    right = declared(name)
    declaration = right.model_copy(update={part: getattr(right, part).model_copy(update=change)})
    outputs = found(name, declaration)
    before = decided(name, *expected(name)[1:])
    after = decided(name, outputs["boxes"], outputs["scores"])
    _, reasons = judge_detections(before, after, TOLERANCE, ())
    assert reasons


CORNERS = st.tuples(*[st.floats(0, 1, width=32)] * 4)


@settings(deadline=None, max_examples=10)
@given(values=st.lists(CORNERS, min_size=1, max_size=5), clip=st.booleans())
def test_forms_of_one_box_are_one_box(values: list[tuple[float, ...]], clip: bool) -> None:
    """Corners or centre and sides, in pixels or as shares of the image."""
    corners = torch.tensor([values], dtype=torch.float64) * 1.5 - 0.25
    centred = torch.cat(((corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]), dim=-1)
    pixels = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    expected_boxes = corners * pixels
    if clip:
        expected_boxes = torch.minimum(expected_boxes.clamp(min=0), pixels)
    for form, given_ in (("xyxy", corners), ("cxcywh", centred)):
        for unit, scaled in (("fractions", given_), ("pixels", given_ * pixels)):
            rule = Boxes(output=0, format=form, unit=unit, clip=clip)
            np.testing.assert_allclose(BoxDecoder(rule)(scaled, HEIGHT, WIDTH), expected_boxes, atol=1e-9)
