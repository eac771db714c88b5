"""Mask R-CNN behind a backbone, step by step as MMDetection 3.3.0 does it, in float64: for tests to be right against.

Nothing of it is the program's own. Its rules are those of ``RPNHead``, ``SingleRoIExtractor``, ``BBoxHead`` and
``FCNMaskHead`` with the configuration ``mask-rcnn_r50_fpn``; RoIAlign is that of MMCV, sample by sample.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Numbers = npt.NDArray[np.float64]
State = Mapping[str, Tensor]
STRIDES = (4, 8, 16, 32, 64)
STDS = np.array([0.1, 0.1, 0.2, 0.2], np.float32).astype(float)  # MMDetection has these and its anchors in float32


@dataclass(frozen=True)
class Rules:
    """The numbers of ``test_cfg``, and of the extractor."""

    nms_pre: int = 1000
    proposals: int = 1000
    proposal_iou: float = 0.7
    score: float = 0.05
    iou: float = 0.5
    most: int = 100
    finest: float = 56


def pyramid(state: State, maps: Sequence[Tensor]) -> list[Tensor]:
    """Returns the neck's five maps."""
    lateral = [_conv(state, f"neck.lateral_convs.{i}.conv", x) for i, x in enumerate(maps)]
    for i in (3, 2, 1):
        lateral[i - 1] = lateral[i - 1] + F.interpolate(lateral[i], size=lateral[i - 1].shape[2:], mode="nearest")
    found = [_conv(state, f"neck.fpn_convs.{i}.conv", x, padding=1) for i, x in enumerate(lateral)]
    return [*found, F.max_pool2d(found[-1], 1, stride=2)]


def instances(
    state: State, maps: Sequence[Tensor], height: int, width: int, rules: Rules
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Returns boxes (n, 4), scores (n,), labels (n,) and masks (n, 28, 28) of one image, the best first."""
    levels = pyramid(state, maps)
    boxes = _proposals(state, levels, height, width, rules)
    read = [level[0].numpy() for level in levels[:4]]
    parts = torch.from_numpy(np.stack([_part(read, box, 7, rules) for box in boxes]))
    x = parts.flatten(1)
    for i in range(2):
        x = F.relu(_linear(state, f"roi_head.bbox_head.shared_fcs.{i}", x))
    scores = _linear(state, "roi_head.bbox_head.fc_cls", x).softmax(1).numpy()[:, :-1]
    deltas = _linear(state, "roi_head.bbox_head.fc_reg", x).numpy()
    found = []
    for label in range(scores.shape[1]):
        own = [
            _clip(_moved(box, values[4 * label : 4 * label + 4] * STDS), height, width)
            for box, values in zip(boxes, deltas, strict=True)
        ]
        able = [(scores[i, label], own[i]) for i in range(len(own)) if scores[i, label] > rules.score]
        found += [(score, box, label) for score, box in _suppressed(able, rules.iou)]
    found = sorted(found, key=lambda item: -item[0])[: rules.most]
    kept = np.array([box for _, box, _ in found])
    labels = np.array([label for _, _, label in found])
    masks = _masks(state, read, kept, labels, rules)
    return kept, np.array([score for score, _, _ in found]), labels.astype(float), masks


def _proposals(state: State, levels: Sequence[Tensor], height: int, width: int, rules: Rules) -> list[Numbers]:
    found = []
    for stride, level in zip(STRIDES, levels, strict=True):
        x = F.relu(_conv(state, "rpn_head.rpn_conv", level, padding=1))
        scores = _conv(state, "rpn_head.rpn_cls", x).sigmoid()[0].permute(1, 2, 0).reshape(-1).numpy()
        deltas = _conv(state, "rpn_head.rpn_reg", x)[0].permute(1, 2, 0).reshape(-1, 4).numpy()
        columns, able = level.shape[3], []
        for place in np.argsort(-scores, kind="stable")[: rules.nms_pre]:
            cell, ratio = int(place) // 3, (0.5, 1.0, 2.0)[int(place) % 3]
            x0, y0 = cell % columns * stride, cell // columns * stride
            w, h = (float(np.float32(side)) for side in (8 * stride / math.sqrt(ratio), 8 * stride * math.sqrt(ratio)))
            anchor = np.array([x0 - w / 2, y0 - h / 2, x0 + w / 2, y0 + h / 2])
            box = _clip(_moved(anchor, deltas[place]), height, width)
            if box[2] > box[0] and box[3] > box[1]:
                able.append((scores[place], box))
        found += _suppressed(able, rules.proposal_iou)  # each level by itself
    return [box for _, box in sorted(found, key=lambda item: -item[0])[: rules.proposals]]


def _moved(box: Numbers, deltas: Numbers) -> Numbers:
    """Returns a box that was moved, as ``delta2bbox`` does."""
    most = abs(math.log(16 / 1000))
    w, h = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2 + w * deltas[0], (box[1] + box[3]) / 2 + h * deltas[1]
    w, h = w * math.exp(min(max(deltas[2], -most), most)), h * math.exp(min(max(deltas[3], -most), most))
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def _clip(box: Numbers, height: int, width: int) -> Numbers:
    return np.clip(box, 0, [width, height, width, height])


def _suppressed(found: list[tuple[float, Numbers]], threshold: float) -> list[tuple[float, Numbers]]:
    kept: list[tuple[float, Numbers]] = []
    for score, box in sorted(found, key=lambda item: -item[0]):
        if all(_overlap(box, other) <= threshold for _, other in kept):
            kept.append((score, box))
    return kept


def _overlap(a: Numbers, b: Numbers) -> float:
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared) if areas > shared else 0.0


def _part(maps: Sequence[Numbers], box: Numbers, size: int, rules: Rules) -> Numbers:
    """Returns what lies below a box, (C, size, size), in the map that its own size chooses."""
    scale = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    level = min(max(math.floor(math.log2(scale / rules.finest + 1e-6)), 0), 3)
    return align(maps[level], box, 1 / STRIDES[level], size)


def align(x: Numbers, box: Numbers, scale: float, size: int) -> Numbers:
    """Returns RoIAlign of a map (C, H, W), aligned and with adaptive sampling, (C, size, size)."""
    x1, y1, x2, y2 = box * scale - 0.5
    found = np.zeros((x.shape[0], size, size))
    if x2 <= x1 or y2 <= y1:
        return found
    bins = (y2 - y1) / size, (x2 - x1) / size
    counts = math.ceil(bins[0]), math.ceil(bins[1])
    for row in range(size):
        for column in range(size):
            for i in range(counts[0]):
                for j in range(counts[1]):
                    y = y1 + bins[0] * (row + (i + 0.5) / counts[0])
                    found[:, row, column] += _sample(x, y, x1 + bins[1] * (column + (j + 0.5) / counts[1]))
    found /= counts[0] * counts[1]
    return found


def _sample(x: Numbers, row: float, column: float) -> Numbers:
    height, width = x.shape[1:]
    if row < -1 or row > height or column < -1 or column > width:
        return np.zeros(x.shape[0])
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    ly, lx = row - top, column - left
    upper = x[:, top, left] * (1 - lx) + x[:, top, right] * lx
    lower = x[:, bottom, left] * (1 - lx) + x[:, bottom, right] * lx
    mixed: Numbers = upper * (1 - ly) + lower * ly
    return mixed


def _masks(state: State, maps: Sequence[Numbers], boxes: Numbers, labels: Numbers, rules: Rules) -> Numbers:
    x = torch.from_numpy(np.stack([_part(maps, box, 14, rules) for box in boxes]))
    name = "roi_head.mask_head"
    for i in range(len({key for key in state if key.startswith(f"{name}.convs.")}) // 2):
        x = F.relu(_conv(state, f"{name}.convs.{i}.conv", x, padding=1))
    x = F.relu(F.conv_transpose2d(x, state[f"{name}.upsample.weight"], state[f"{name}.upsample.bias"], stride=2))
    logits = _conv(state, f"{name}.conv_logits", x)
    own: Numbers = logits.sigmoid().numpy()[np.arange(len(labels)), labels]
    return own


def _conv(state: State, name: str, x: Tensor, padding: int = 0) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])
