"""Mask R-CNN: boxes are proposed, cut out of the maps and classified; those that are left are cut out again for a mask.

Source: He et al., "Mask R-CNN", arXiv 1703.06870, on Lin et al., "Feature Pyramid Networks for Object Detection", arXiv
1612.03144; tensor names and rules as in https://github.com/open-mmlab/mmdetection 3.3.0 (``RPNHead``,
``SingleRoIExtractor``, ``Shared2FCBBoxHead`` and ``FCNMaskHead`` behind ``FPN``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilevit_deploy.architectures.heads.anchors import BoxDecoder, anchor_shapes, by_box, clip_boxes, move_boxes
from mobilevit_deploy.architectures.heads.convolution import NamedConvolution
from mobilevit_deploy.architectures.heads.fpn import ChosenMaps, FeaturePyramid
from mobilevit_deploy.architectures.heads.retinanet import BOXES
from mobilevit_deploy.architectures.operations.roi_align import roi_align
from mobilevit_deploy.architectures.operations.suppression import suppress
from mobilevit_deploy.catalog.decision import Suppression, SuppressionRule
from mobilevit_deploy.catalog.head_declaration import Levels

# How the second stage moves the boxes that were proposed: as the first moves anchors, in smaller steps.
MOVED_AGAIN = BOXES.model_copy(update={"stds": (0.1, 0.1, 0.2, 0.2)})
Maps = Sequence[Tensor]
SMALLEST_SHARE = 1e-6  # of the finest scale, that a box without area counts as


class ProposalHead(nn.Module):
    """A level's map (B, C, H, W) to scores (B, anchors, H, W) and deltas (B, anchors * 4, H, W)."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.rpn_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(channels, anchors, 1)
        self.rpn_reg = nn.Conv2d(channels, anchors * 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.rpn_conv(x).relu()
        return self.rpn_cls(x), self.rpn_reg(x)


class BoxHead(nn.Module):
    """Parts (K, C, size, size) to scores (K, classes) from 0 to 1 and deltas (K, classes, 4), of each class its own."""

    def __init__(self, channels: int, size: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.shared_fcs = nn.ModuleList(nn.Linear(width, hidden) for width in (channels * size**2, hidden))
        self.fc_cls = nn.Linear(hidden, num_classes + 1)
        self.fc_reg = nn.Linear(hidden, num_classes * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        for layer in self.shared_fcs:
            x = layer(x).relu()
        return self.fc_cls(x).softmax(-1)[:, :-1], self.fc_reg(x).unflatten(1, (-1, 4))  # the last is the background


class MaskHead(nn.Module):
    """Parts (K, C, size, size) and a class for each, (K,), to logits of its mask, (K, 1, 2 size, 2 size)."""

    def __init__(self, channels: int, convolutions: int, num_classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(NamedConvolution(channels, channels, 3, relu=True) for _ in range(convolutions))
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.conv_logits = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        x = self.upsample(x).relu()
        # Of the last layer, 1 x 1, the own class's row alone: masks of all classes would be as many times as large.
        last = self.conv_logits
        assert last.bias is not None  # for the type checker
        rows, bias = (values.index_select(0, labels) for values in (last.weight, last.bias))
        logits = rows.flatten(1)[:, None] @ x.flatten(2) + bias[:, None, None]
        return logits.view(-1, 1, *x.shape[2:])


class SecondStage(nn.Module):
    """What looks at the maps below boxes.

    Attributes:
        bbox_head: moves and classifies them.
        mask_head: has a mask for each.
    """

    def __init__(
        self, bbox_head: BoxHead, mask_head: MaskHead, strides: Sequence[int], sizes: tuple[int, int], finest: float
    ) -> None:
        """Takes both heads.

        Args:
            bbox_head: see above.
            mask_head: see above.
            strides: of the maps.
            sizes: of the parts that each head takes.
            finest: side of a square, in pixels, up to twice of which a box is cut out of the finest map.
        """
        super().__init__()
        self.bbox_head, self.mask_head = bbox_head, mask_head
        self.strides, self.sizes, self.finest = tuple(strides), sizes, finest

    def boxes(self, maps: Maps, boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Returns boxes (1, K, classes, 4) in pixels and scores (1, K, classes) of those that were proposed, (K, 4)."""
        scores, deltas = self.bbox_head(self._parts(maps, boxes, self.sizes[0]))
        low, high = boxes[:, None, :2], boxes[:, None, 2:]
        moved = move_boxes(MOVED_AGAIN, deltas, (low + high) * 0.5, high - low)
        return clip_boxes(moved, height, width)[None], scores[None]

    def masks(self, maps: Maps, boxes: Tensor, labels: Tensor) -> Tensor:
        """Returns the masks (1, K, 2 size, 2 size) of boxes (K, 4) for their labels (K,), from 0 to 1; 0 for none."""
        own = self.mask_head(self._parts(maps, boxes, self.sizes[1]), labels.clamp(min=0).long()).sigmoid()
        return torch.where(labels[:, None, None, None] >= 0, own, torch.zeros_like(own)).transpose(0, 1)

    def _parts(self, maps: Maps, boxes: Tensor, size: int) -> Tensor:
        """Returns what lies below each box, (K, C, size, size), each cut out of the map that fits its size.

        All boxes are cut out of every map, for which ones are a map's own depends on the image; those of others have no
        area there, which costs nothing and adds 0.
        """
        level = self._levels(boxes)[:, None]
        parts = [
            roi_align(x, torch.where(level == i, boxes, torch.zeros_like(boxes)), 1 / self.strides[i], size)
            for i, x in enumerate(maps)
        ]
        total: Tensor = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _levels(self, boxes: Tensor) -> Tensor:
        """Returns out of which map each of the boxes (K, 4) is cut, (K,)."""
        sides = boxes[:, 2:] - boxes[:, :2]
        scale = (sides[:, 0] * sides[:, 1]).sqrt()
        level = (scale / self.finest + SMALLEST_SHARE).log2().floor()
        return torch.clamp(level, 0, len(self.strides) - 1)


class MaskRcnn(nn.Module):
    """Image to instances, or to the maps of the first stage.

    An image (1, 3, H, W) gives ``boxes`` (1, K, 4) in pixels, ``scores`` (1, K), ``labels`` (1, K), ``count`` (1,) and
    ``masks`` (1, K, h, w); images (B, 3, H, W) the maps that the second stage reads, and what the first says of all.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: FeaturePyramid,
        rpn_head: ProposalHead,
        roi_head: SecondStage,
        decoder: BoxDecoder,
        proposals: SuppressionRule,
        suppression: SuppressionRule | None,
        num_classes: int,
    ) -> None:
        """Takes the parts.

        Args:
            backbone: image to maps.
            neck: those to maps of one width.
            rpn_head: that proposes boxes.
            roi_head: that looks at them.
            decoder: of what the first stage says.
            proposals: which boxes the second stage looks at.
            suppression: which of these are left; None to return the maps.
            num_classes: that a box may have.
        """
        super().__init__()
        self.backbone, self.neck, self.rpn_head, self.roi_head = backbone, neck, rpn_head, roi_head
        self.decoder, self.num_classes = decoder, num_classes
        self.proposals = Suppression(**proposals.model_dump(), strides=decoder.strides, anchors=decoder.anchor_count)
        self.suppression = suppression

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps, scores, deltas = self._first_stage(x)
        read = maps[: len(self.roi_head.strides)]
        if self.suppression is None:
            named = {f"feature{i}": level for i, level in enumerate(read)}
            named |= {f"rpn_cls_score{i}": score for i, score in enumerate(scores)}
            return named | {f"rpn_bbox_pred{i}": delta for i, delta in enumerate(deltas)}
        height, width = x.shape[2:]
        proposed = self._propose(*self._decode(scores, deltas, height, width), height, width)
        boxes, own_scores = self.roi_head.boxes(read, proposed[0], height, width)
        boxes, best, labels, count = suppress(boxes, own_scores, [boxes.shape[1]], *self.suppression.settings)
        masks = self.roi_head.masks(read, boxes[0], labels[0])
        return {"boxes": boxes, "scores": best, "labels": labels, "count": count, "masks": masks}

    def numbers(self, x: Tensor) -> dict[str, Tensor]:
        """Returns what is proposed by: boxes (1, N, 4) in pixels, and scores (1, N, levels), in its level's column."""
        _, scores, deltas = self._first_stage(x)
        height, width = x.shape[2:]
        boxes, own = self._decode(scores, deltas, height, width)
        return {"boxes": boxes, "scores": self._by_level(own, height, width)}

    def _first_stage(self, x: Tensor) -> tuple[list[Tensor], Maps, Maps]:
        """Returns the neck's maps, and scores and deltas of each."""
        maps = self.neck(self.backbone(x))
        scores, deltas = zip(*(self.rpn_head(level) for level in maps), strict=True)
        return maps, scores, deltas

    def _decode(self, scores: Maps, deltas: Maps, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Returns boxes (1, N, 4) in pixels and their scores (1, N, 1) from 0 to 1."""
        anchors = self.decoder.anchor_count
        boxes = self.decoder(by_box(deltas, "BCHW", anchors), height, width)
        return boxes, by_box(scores, "BCHW", anchors).sigmoid()

    def _propose(self, boxes: Tensor, scores: Tensor, height: int, width: int) -> Tensor:
        """Returns boxes (1, K, 4) in pixels: of each level those that overlap little, and of all these the best."""
        sizes = self.proposals.level_sizes(boxes.shape[1], height, width)
        own = self._by_level(scores, height, width)
        most = min(self.proposals.max_detections, sum(min(size, self.proposals.candidates) for size in sizes))
        rule = self.proposals.model_copy(update={"max_detections": most})
        proposed: Tensor = suppress(boxes, own, list(sizes), *rule.settings)[0]
        return proposed

    def _by_level(self, scores: Tensor, height: int, width: int) -> Tensor:
        """Returns scores (1, N, levels): boxes of different levels do not suppress each other, as classes do not."""
        sizes = self.proposals.level_sizes(scores.shape[1], height, width)
        level = np.eye(len(sizes), dtype=np.float32)[np.repeat(np.arange(len(sizes)), sizes)]
        return scores * torch.from_numpy(level).to(scores.dtype)


def build(
    backbone: nn.Module,
    chosen: ChosenMaps,
    num_classes: int,
    output: str,
    suppression: SuppressionRule,
    *,
    channels: int,
    thinned_levels: int,
    anchors: Mapping[str, Any],
    proposals: Mapping[str, Any],
    finest_scale: float,
    box_size: int,
    box_channels: int,
    mask_size: int,
    mask_convolutions: int,
) -> nn.Module:
    """Returns the untrained whole model.

    Args:
        backbone: image to maps.
        chosen: those of the maps that the neck takes.
        num_classes: that a box may have.
        output: ``raw`` gives the first stage's maps, all else instances.
        suppression: which boxes are left.
        channels: of the pyramid and the heads.
        thinned_levels: that the pyramid adds; the first stage alone looks at these.
        anchors: of ``anchor_shapes``.
        proposals: of ``SuppressionRule``: which boxes the second stage looks at.
        finest_scale: see ``SecondStage``.
        box_size: of the parts that are classified.
        box_channels: of the layers that do.
        mask_size: of the parts that masks are made of, which are twice as large.
        mask_convolutions: of the mask's head, before it doubles the sides.
    """
    added = (chosen.strides[-1] * 2**i for i in range(1, thinned_levels + 1))
    decoder = BoxDecoder(BOXES, Levels(strides=(*chosen.strides, *added)), anchor_shapes(**anchors))
    neck = FeaturePyramid(chosen, channels, thinned_levels=thinned_levels)
    box_head = BoxHead(channels, box_size, box_channels, num_classes)
    mask_head = MaskHead(channels, mask_convolutions, num_classes)
    second = SecondStage(box_head, mask_head, chosen.strides, (box_size, mask_size), finest_scale)
    first = ProposalHead(channels, decoder.anchor_count)
    rule = None if output == "raw" else suppression
    return MaskRcnn(backbone, neck, first, second, decoder, SuppressionRule(**proposals), rule, num_classes)
