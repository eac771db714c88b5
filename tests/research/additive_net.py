"""A research implementation with its own names and spellings, as users bring it: no class of mvd is in it."""

import math

import torch
from torch import Tensor, nn


class Activation(nn.Module):
    """GELU as older code writes it out."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class Gate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.excite = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * torch.sigmoid(self.excite(self.squeeze(x)))
        return gated


class Mixer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = nn.BatchNorm2d(width)
        self.to_qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.gate_a, self.gate_b = Gate(width), Gate(width)
        self.local = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width), nn.BatchNorm2d(width))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.split(self.to_qkv(self.before(x)), x.shape[1], dim=1)
        mixed: Tensor = x + self.drop(self.local(self.gate_a(q) + self.gate_b(k)) * v)
        return mixed


class Net(nn.Module):
    def __init__(self, classes: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 7, stride=4, padding=3, bias=False), nn.BatchNorm2d(16), Activation()
        )
        self.body = nn.Sequential(Mixer(16), nn.Conv2d(16, 24, 2, stride=2), Mixer(24))
        self.last_norm = nn.BatchNorm2d(24)
        self.head_a, self.head_b = nn.Linear(24, classes), nn.Linear(24, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.last_norm(self.body(self.stem(pixels)))
        x = x.flatten(2).mean(-1)
        logits: Tensor = (self.head_a(x) + self.head_b(x)) / 2
        return logits


def build() -> nn.Module:
    net = Net()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_mean").uniform_(-0.2, 0.2)
            module.get_buffer("running_var").uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return net


def broken() -> nn.Module:
    raise ValueError("no such width")


def not_a_module() -> str:
    return "a string"


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 0:
            return x * 2
        return x


class Dictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.conv(x)
        return {"maps": maps, "input": maps.mean((2, 3))}
