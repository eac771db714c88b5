"""RetinaNet: one convolutional head on five levels, which scores and moves nine anchors in each cell.

Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002; tensor names as in
https://github.com/open-mmlab/mmdetection 3.3.0 (``RetinaHead`` behind ``FPN``).
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mobilevit_deploy.architectures.heads.anchors import BoxDecoder, anchor_shapes, by_box
from mobilevit_deploy.architectures.heads.convolution import NamedConvolution
from mobilevit_deploy.architectures.heads.fpn import ChosenMaps, FeaturePyramid
from mobilevit_deploy.catalog.head_declaration import Boxes, Levels

# As MMDetection's DeltaXYWHBBoxCoder decodes.
BOXES = Boxes(output="bbox_pred", format="deltas", smallest_scale=16 / 1000, largest_scale=1000 / 16)
PRIOR = 0.01  # what an untrained head scores, section 4.1: most anchors hold nothing


class RetinaHead(nn.Module):
    """A level's map (B, C, H, W) to scores (B, anchors * classes, H, W) and deltas (B, anchors * 4, H, W)."""

    def __init__(self, channels: int, convolutions: int, anchors: int, num_classes: int) -> None:
        super().__init__()
        self.cls_convs = nn.ModuleList(NamedConvolution(channels, channels, 3, relu=True) for _ in range(convolutions))
        self.reg_convs = nn.ModuleList(NamedConvolution(channels, channels, 3, relu=True) for _ in range(convolutions))
        self.retina_cls = nn.Conv2d(channels, anchors * num_classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        assert self.retina_cls.bias is not None  # for the type checker
        nn.init.constant_(self.retina_cls.bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = boxes = x
        for conv in self.cls_convs:
            scores = conv(scores)
        for conv in self.reg_convs:
            boxes = conv(boxes)
        return self.retina_cls(scores), self.retina_reg(boxes)


class RetinaNet(nn.Module):
    """Image (B, 3, H, W) to the levels' maps, or to ``boxes`` (B, N, 4) in pixels and ``scores`` (B, N, classes)."""

    def __init__(
        self,
        backbone: nn.Module,
        neck: FeaturePyramid,
        bbox_head: RetinaHead,
        decoder: BoxDecoder,
        num_classes: int,
        *,
        decoded: bool,
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.bbox_head = backbone, neck, bbox_head
        self.decoder, self.num_classes, self.decoded = decoder, num_classes, decoded

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores, deltas = zip(*(self.bbox_head(level) for level in self.neck(self.backbone(x))), strict=True)
        if not self.decoded:
            named = {f"cls_score{i}": score for i, score in enumerate(scores)}
            return named | {f"bbox_pred{i}": delta for i, delta in enumerate(deltas)}
        boxes = self.decoder(by_box(deltas, "BCHW", self.decoder.anchor_count), *x.shape[2:])
        return {"boxes": boxes, "scores": by_box(scores, "BCHW", self.decoder.anchor_count).sigmoid()}


def build(
    backbone: nn.Module,
    chosen: ChosenMaps,
    num_classes: int,
    output: str,
    *,
    channels: int,
    convolutions: int,
    extra_levels: int,
    anchors: Mapping[str, Any],
) -> nn.Module:
    """Returns the untrained whole model.

    Args:
        backbone: image to maps.
        chosen: those of the maps that the neck takes.
        num_classes: that a box may have.
        output: ``raw`` gives the levels' maps, all else boxes and scores.
        channels: of the pyramid and the head.
        convolutions: of each branch of the head, before its last.
        extra_levels: that the pyramid adds.
        anchors: of ``anchor_shapes``.
    """
    added = (chosen.strides[-1] * 2**i for i in range(1, extra_levels + 1))
    decoder = BoxDecoder(BOXES, Levels(strides=(*chosen.strides, *added)), anchor_shapes(**anchors))
    neck = FeaturePyramid(chosen, channels, extra_levels)
    head = RetinaHead(channels, convolutions, decoder.anchor_count, num_classes)
    return RetinaNet(backbone, neck, head, decoder, num_classes, decoded=output != "raw")
