"""Small models with heads of their own, which return what those of torchvision, YOLOX and transformers do."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES, STRIDES = 3, (8, 16)


def _seeded(module: nn.Module) -> nn.Module:
    """Gives a model weights that keep the spread of the values."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, generator=generator)
            assert part.bias is not None
            nn.init.normal_(part.bias, std=0.5, generator=generator)
    return module


class Levels(nn.Module):
    """Image (B, 3, H, W) to one map for each stride, (B, channels, H/s, W/s)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, STRIDES[0], STRIDES[0])
        self.down = nn.Conv2d(16, 16, 3, 2, 1)
        self.heads = nn.ModuleList(nn.Conv2d(16, channels, 1) for _ in STRIDES)

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x).relu()
        return [head(level) for head, level in zip(self.heads, (fine, self.down(fine).relu()), strict=True)]


def _by_box(maps: list[Tensor], values: int) -> Tensor:
    """Returns maps as torchvision's heads do, (B, N, values)."""
    found = []
    for level in maps:
        batch, _, height, width = level.shape
        parted = level.view(batch, -1, values, height, width).permute(0, 3, 4, 1, 2)
        found.append(parted.reshape(batch, -1, values))
    return torch.cat(found, dim=1)


class Ssd(nn.Module):
    """As torchvision's SSD head: two anchors in a cell; the first class is the background."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.boxes = Levels(2 * (1 + CLASSES)), Levels(2 * 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            "bbox_regression": _by_box(self.boxes(x), 4),
            "cls_logits": _by_box(self.scores(x), 1 + CLASSES),
        }


class Fcos(nn.Module):
    """As torchvision's FCOS head: distances in strides, and how central a point is."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.boxes, self.central = Levels(CLASSES), Levels(4), Levels(1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            "cls_logits": _by_box(self.scores(x), CLASSES),
            "bbox_regression": F.relu(_by_box(self.boxes(x), 4)),
            "bbox_ctrness": _by_box(self.central(x), 1),
        }


class Yolo(nn.Module):
    """As YOLOX: of each level a map with box, objectness and classes in its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = Levels(5 + CLASSES)

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = self.levels(x)
        return found


@dataclass
class SegmenterOutput:
    """As transformers returns it."""

    loss: Tensor | None = None
    logits: Tensor | None = None


class Segmenter(nn.Module):
    """As SegFormer: logits of stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.classifier = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, CLASSES, 1)

    def forward(self, pixel_values: Tensor) -> SegmenterOutput:
        return SegmenterOutput(logits=self.classifier(self.stem(pixel_values).relu()))


def ssd() -> nn.Module:
    return _seeded(Ssd())


def fcos() -> nn.Module:
    return _seeded(Fcos())


def yolo() -> nn.Module:
    return _seeded(Yolo())


def segmenter() -> nn.Module:
    return _seeded(Segmenter())
