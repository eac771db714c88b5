"""What ``sources/torchvision.py`` asks of ``torchvision.models``."""

from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


class Interpolation(Enum):
    BILINEAR = "bilinear"


def _transforms() -> SimpleNamespace:
    return SimpleNamespace(
        mean=[0.4, 0.5, 0.6],
        std=[0.1, 0.2, 0.3],
        resize_size=[64],
        crop_size=[32],
        interpolation=Interpolation.BILINEAR,
    )


class TinyWeights(Enum):
    V1 = "v1"
    V2 = "v2"
    DEFAULT = "v2"

    @property
    def meta(self) -> dict[str, Any]:
        return {"categories": ["cat", "dog", "newt"]}

    @staticmethod
    def transforms() -> SimpleNamespace:
        return _transforms()


class Tiny(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.stem(x).mean((2, 3)))
        return y


def tiny(*, weights: TinyWeights | None = None, num_classes: int = 3) -> nn.Module:
    module = Tiny(num_classes)
    if weights:
        nn.init.constant_(module.head.bias, {"v1": 1.0, "v2": 2.0}[weights.value])
    return module


def tiny_segmenter(
    *, weights: TinyWeights | None = None, weights_backbone: str | None = "a download", num_classes: int = 3
) -> nn.Module:
    if weights_backbone:
        raise ConnectionError("downloaded the backbone")
    return tiny(weights=weights, num_classes=num_classes)


class Detector(nn.Module):
    """What a detector of one stage has; its forward is the library's own post-processing."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(), Scores(num_classes)
        self.transform = SimpleNamespace(image_mean=[0.5] * 3, image_std=[0.25] * 3, fixed_size=(48, 32))

    def forward(self, _images: list[torch.Tensor]) -> object:
        raise NotImplementedError("torchvision's own detections")


class Backbone(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"0": x[:, :, ::8, ::8]}


class Scores(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.cls = nn.Conv2d(3, num_classes, 1)

    def forward(self, maps: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"cls_logits": self.cls(maps[0])}


def tiny_detector(*, weights: TinyWeights | None = None, num_classes: int = 3) -> nn.Module:
    module = Detector(num_classes)
    if weights:
        nn.init.constant_(module.head.cls.weight, 1.0)
    return module


MODELS: dict[str, Callable[..., nn.Module]] = {
    "tiny": tiny,
    "tiny_segmenter": tiny_segmenter,
    "tiny_detector": tiny_detector,
}


def list_models() -> list[str]:
    return list(MODELS)


def get_model_builder(name: str) -> Callable[..., nn.Module]:
    return MODELS[name]


def get_model(name: str, **config: Any) -> nn.Module:
    return MODELS[name](**config)


def get_model_weights(_name: str) -> type[TinyWeights]:
    return TinyWeights
