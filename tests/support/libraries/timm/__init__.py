"""A timm with one model, ``tiny_net``, and weights of two tags; see the page that ``sources/timm.py`` names."""

import fnmatch
from typing import Any

import torch
from torch import nn

from . import data as data

MODELS = {"tiny_net": ("one_in1k", "two_in1k"), "tiny_other": ()}


class TinyNet(nn.Module):
    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2)
        self.head = nn.Linear(width, num_classes)
        self.num_classes = num_classes
        self.pretrained_cfg: dict[str, Any] = {"tag": "one_in1k", "num_classes": 1000}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.stem(x).relu().mean((2, 3)))
        return y


def list_models(filter: str = "*", *, pretrained: bool = False) -> list[str]:
    tagged = [f"{name}.{tag}" for name, tags in MODELS.items() for tag in tags]
    return fnmatch.filter(tagged if pretrained else list(MODELS), filter)


def is_model(name: str) -> bool:
    return name.partition(".")[0] in MODELS


def create_model(name: str, pretrained: bool = False, num_classes: int = 1000, **arguments: Any) -> nn.Module:
    module = TinyNet(num_classes, **arguments)
    if name.partition(".")[2]:
        module.pretrained_cfg["tag"] = name.partition(".")[2]
    if pretrained:
        nn.init.constant_(module.head.bias, 0.5)
    return module
