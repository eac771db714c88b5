"""Mask R-CNN beside MMDetection's rules, written out step by step; and wrong ones, which are told from it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads import mask_rcnn
from mobilevit_deploy.architectures.heads.fpn import ChosenMaps
from mobilevit_deploy.architectures.heads.mask_rcnn import MaskRcnn, SecondStage, build
from mobilevit_deploy.architectures.heads.retinanet import BOXES
from mobilevit_deploy.architectures.operations import roi_align as operation
from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import SuppressionRule
from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.verification.detections import judge_detections
from tests.support.two_stages import Rules, instances, pyramid

ROOT = Path(__file__).parents[3]
HEIGHT, WIDTH, CLASSES = 128, 160, 3
WIDTHS = (4, 5, 6, 7)
RULES = Rules(nms_pre=30, proposals=50, proposal_iou=0.7, score=0.2, iou=0.5, most=20, finest=14)
RULE = SuppressionRule(
    candidates=RULES.proposals, candidates_of="class", score_threshold=RULES.score, iou_threshold=RULES.iou,
    max_detections=RULES.most,
)  # fmt: skip
EXACT = Tolerance(max_rel=1e-9, snr_db=0, top1_agreement=1, reason="float64 beside float64")

Outputs = dict[str, Tensor]


class Maps(nn.Module):
    """A backbone whose maps are smooth and of the image's size over 4, 8, 16 and 32."""

    def forward(self, x: Tensor) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        return [
            torch.randn(1, width, x.shape[2] // 4 // 2**i, x.shape[3] // 4 // 2**i, generator=generator).to(x.dtype)
            for i, width in enumerate(WIDTHS)
        ]


def small(output: str = "nms") -> MaskRcnn:
    card = catalog.heads()["instances"]
    narrow = {"channels": 6, "box_channels": 16, "mask_convolutions": 2, "finest_scale": RULES.finest}
    proposals = {**card.architecture["proposals"], "candidates": RULES.nms_pre, "max_detections": RULES.proposals}
    given = {**card.architecture, **narrow, "proposals": proposals}
    chosen = ChosenMaps((0, 1, 2, 3), WIDTHS, card.strides)
    module = build(Maps(), chosen, CLASSES, output, RULE, **given).eval().double()
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        gain = 0.5 if name.split(".")[-2] in ("rpn_cls", "rpn_reg", "fc_cls", "fc_reg") else 1.5
        fan = value[0].numel() if value.ndim > 1 else 4
        value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64) * gain / fan**0.5)
    assert isinstance(module, MaskRcnn)
    return module


def test_names_and_shapes_are_those_of_mmdetection() -> None:
    with torch.device("meta"):
        card = catalog.heads()["instances"]
        module = build(Maps(), ChosenMaps((0, 1, 2, 3), WIDTHS, card.strides), 80, "raw", RULE, **card.architecture)
    found = {name: list(value.shape) for name, value in module.state_dict().items() if name.endswith("weight")}
    convolutions = {f"neck.lateral_convs.{i}.conv": [256, WIDTHS[i], 1, 1] for i in range(4)}
    convolutions |= {f"neck.fpn_convs.{i}.conv": [256, 256, 3, 3] for i in range(4)}
    convolutions |= {f"roi_head.mask_head.convs.{i}.conv": [256, 256, 3, 3] for i in range(4)}
    expected = convolutions | {
        "rpn_head.rpn_conv": [256, 256, 3, 3],
        "rpn_head.rpn_cls": [3, 256, 1, 1],
        "rpn_head.rpn_reg": [12, 256, 1, 1],
        "roi_head.bbox_head.shared_fcs.0": [1024, 256 * 49],
        "roi_head.bbox_head.shared_fcs.1": [1024, 1024],
        "roi_head.bbox_head.fc_cls": [81, 1024],
        "roi_head.bbox_head.fc_reg": [320, 1024],
        "roi_head.mask_head.upsample": [256, 256, 2, 2],
        "roi_head.mask_head.conv_logits": [80, 256, 1, 1],
    }
    assert found == {f"{name}.weight": shape for name, shape in expected.items()}
    assert {name.removesuffix(".bias") for name in module.state_dict() if name.endswith("bias")} == set(expected)


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    module = small()
    maps = Maps()(torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64))
    found = instances(module.state_dict(), maps, HEIGHT, WIDTH, RULES)
    boxes, scores, labels, masks = (item[None] for item in found)
    return [boxes, scores, labels, np.array([scores.shape[1]]), masks]


def run(module: nn.Module) -> Outputs:
    with torch.no_grad():
        found: Outputs = module(torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64))
    return found


def reasons(expected: list[Any]) -> list[str]:
    """Returns how what the module finds differs from what is expected."""
    found = [value.numpy().astype(float) for value in run(small()).values()]
    return judge_detections(expected, found, EXACT, ())[1]


def test_instances(expected: list[Any]) -> None:
    found = run(small())
    assert list(found) == ["boxes", "scores", "labels", "count", "masks"]
    assert (expected[3], len(set(expected[2][0]))) == ([RULES.most], CLASSES)
    for value, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(value.numpy(), wanted, rtol=0, atol=1e-9)
    assert reasons(expected) == []


def test_every_map_is_cut(expected: list[Any]) -> None:
    sides = expected[0][0, :, 2:] - expected[0][0, :, :2]
    levels = small().roi_head._levels(torch.from_numpy(expected[0][0]))
    assert sorted(set(levels.tolist())) == [0, 1, 2, 3], np.sqrt(sides.prod(1))


def test_maps() -> None:
    module = small("raw")
    found = run(module)
    names = ("feature", "rpn_cls_score", "rpn_bbox_pred")
    assert list(found) == [f"{name}{i}" for name in names for i in range(4 if name == "feature" else 5)]
    levels = pyramid(module.state_dict(), Maps()(torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64)))
    for i, level in enumerate(levels[:4]):
        np.testing.assert_allclose(found[f"feature{i}"], level, atol=1e-12)
    assert found["rpn_cls_score4"].shape == (1, 3, 2, 3)
    assert found["rpn_bbox_pred4"].shape == (1, 12, 2, 3)


def test_fewer_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module = small()
    assert module.suppression
    monkeypatch.setattr(module, "suppression", module.suppression.model_copy(update={"score_threshold": 0.9}))
    found = run(module)
    count = int(found["count"])
    assert 0 < count < RULES.most
    assert found["masks"][0, :count].amin() > 0
    assert not found["masks"][0, count:].any()
    assert not found["boxes"][0, count:].any()


def test_nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module = small()
    assert module.suppression
    monkeypatch.setattr(module, "suppression", module.suppression.model_copy(update={"score_threshold": 0.9999}))
    assert not any(value.any() for name, value in run(module).items() if name != "labels")


Patch = Callable[[pytest.MonkeyPatch], None]


def _replace(owner: object, name: str, make: Callable[[Any], Any]) -> Patch:
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def _stage(name: str, make: Callable[[Any], Any]) -> Patch:
    return _replace(SecondStage, name, make)


SWAPPED = [1, 0, 3, 2]
WRONG: dict[str, Patch] = {
    "RoIAlign half a pixel off": _replace(
        mask_rcnn, "roi_align", lambda own: lambda x, boxes, scale, size: own(x, boxes + 0.5 / scale, scale, size)
    ),
    "two samples in each direction": _replace(
        operation, "math", lambda _: type("math", (), {"ceil": staticmethod(lambda _step: 2)})
    ),
    "cut out of the next coarser map": _stage(
        "_levels", lambda own: lambda self, boxes: (own(self, boxes) + 1).clamp(max=3)
    ),
    "maps by another finest scale": _stage("_levels", lambda own: lambda self, boxes: own(self, boxes / 2)),
    "y before x": _replace(
        mask_rcnn, "move_boxes", lambda own: lambda rule, deltas, *rest: own(rule, deltas[..., SWAPPED], *rest)
    ),
    "anchors' width and height swapped": _replace(
        mask_rcnn,
        "anchor_shapes",
        lambda own: lambda ratios, **given: own(ratios=[1 / ratio for ratio in ratios], **given),
    ),
    "the mask of another class": _stage(
        "masks", lambda own: lambda self, maps, boxes, labels: own(self, maps, boxes, (labels + 1) % CLASSES)
    ),
    "masks of what was proposed": _stage(
        "masks", lambda own: lambda self, maps, boxes, labels: own(self, maps, boxes.flip(0), labels)
    ),
    "not clipped": _replace(mask_rcnn, "clip_boxes", lambda _: lambda boxes, *_rest: boxes),
    "proposals not clipped": _replace(mask_rcnn, "BOXES", lambda own: own.model_copy(update={"clip": False})),
    "stds of the first stage": _replace(mask_rcnn, "MOVED_AGAIN", lambda _: BOXES),
    "the background first": _replace(
        mask_rcnn.BoxHead,
        "forward",
        lambda own: lambda self, x: (self.fc_cls(_hidden(self, x)).softmax(-1)[:, 1:], own(self, x)[1]),
    ),
    "levels suppress each other": _replace(
        np, "eye", lambda own: lambda count, dtype: own(1, count, dtype=dtype).repeat(count, axis=0)
    ),
}


def _hidden(head: mask_rcnn.BoxHead, x: Tensor) -> Tensor:
    x = x.flatten(1)
    for layer in head.shared_fcs:
        x = layer(x).relu()
    return x


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_one_is_noticed(wrong: str, expected: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    WRONG[wrong](monkeypatch)
    assert reasons(expected)


def test_the_page_pastes_masks_as_mmdetection_does() -> None:
    page = (ROOT / "docs" / "how-to" / "heads.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?def paste.*?)^```", page, re.MULTILINE | re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)  # noqa: S102 - of this repository
    mask = torch.rand(28, 28, generator=torch.Generator().manual_seed(0))
    for box in ([10.3, 5.7, 61.2, 33.9], [-4.0, -4.0, 90.0, 20.0], [3.0, 3.0, 9.5, 40.0]):
        x1, y1, x2, y2 = box
        x, y = (
            (torch.arange(0, 80) + 0.5 - x1) / (x2 - x1) * 2 - 1,
            (torch.arange(0, 50) + 0.5 - y1) / (y2 - y1) * 2 - 1,
        )
        grid = torch.stack((x.expand(50, 80), y[:, None].expand(50, 80)), dim=-1)
        expected = F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
        found = known["paste"](mask.numpy(), box, 50, 80)
        sure = (expected - 0.5).abs().numpy() > 1e-5
        assert found[sure].any()
        assert (found == (expected >= 0.5).numpy())[sure].all()
