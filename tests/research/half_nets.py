"""Networks that float32 computes well and half precision does not; nothing of mvd in them."""

import torch
from torch import Tensor, nn


class Stretch(nn.Module):
    """Squares, which takes the values to 65504 or beyond."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt((x * self.factor).square() + 1.0) / self.factor


class Offset(nn.Module):
    """Adds a large number and takes it away again: the digits that half precision has are spent on it."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.offset).square().sqrt() - self.offset


class Between(nn.Module):
    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.middle = middle
        self.body = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.gelu(self.body(self.middle(self.stem(x))))
        logits: Tensor = self.head(y.mean((2, 3)))
        return logits


def build_overflow() -> nn.Module:
    return Between(Stretch(300.0))


def build_near() -> nn.Module:
    return Between(Stretch(60.0))


def build_cancelling() -> nn.Module:
    return Between(Offset(200.0))


class Near(nn.Module):
    """Takes the difference of two layers that are all but the same, which the digits of few bits do not tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(16, 64, 3, padding=1), nn.Conv2d(16, 64, 3, padding=1)
        self.back = nn.Conv2d(64, 16, 1)
        with torch.no_grad():
            self.other.weight.copy_(self.one.weight + 1e-3 * self.other.weight)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.back(nn.functional.gelu((self.one(x) - self.other(x)) * 1000.0))
        return changed


def build_sensitive() -> nn.Module:
    return Between(Near())
