"""A convolutional network whose layers are just large enough for weight compression; nothing of mvd in it."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.project = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(nn.functional.gelu(self.expand(x)))
        return x + y


class SmallNet(nn.Module):
    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 2, 1)
        self.first = Block(width)
        self.second = Block(width)
        self.head = nn.Linear(width, 100)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.second(self.first(self.stem(x))).mean((2, 3)))
        return logits


def build() -> nn.Module:
    return SmallNet()


def build_narrow() -> nn.Module:
    return SmallNet(width=8)


def build_gray() -> nn.Module:
    return SmallNet(1)


class Pair(SmallNet):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        logits = super().forward(x)
        return logits, torch.relu(logits)


def build_pair() -> nn.Module:
    return Pair()


def build_narrow_pair() -> nn.Module:
    return Pair(width=8)
