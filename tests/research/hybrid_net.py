"""A small network of everything that mobile transformers are made of, so that each kind of corruption finds a place."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Convolutions(nn.Module):
    """Depthwise and pointwise, with a pool that does not count its padding, a gate and a norm by the maximum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.expand, self.project = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
        self.gate = nn.Conv2d(width, width, 1)
        self.scale = nn.Parameter(torch.rand(width, 1, 1) + 0.5)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.depthwise(x)) - self.pool(x)
        y = x + self.project(F.gelu(self.expand(y)))
        left, right = y[:, :6], y[:, 6:]
        y = self.scale * torch.cat([torch.tanh(right), F.silu(left)], 1)
        gate = torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        largest = y.abs().amax((2, 3), keepdim=True)
        return x + gate * y / (1 + largest)


class Attention(nn.Module):
    """Softmax attention of two heads over 16 tokens, (B, 16, C) in and out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        q, k, v = (part.reshape(b, n, 2, c // 2).transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(-1, -2)).softmax(-1)
        attended: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))
        return x + attended


class HybridNet(nn.Module):
    """(B, 3, 32, 32) to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))
        self.convolutions = nn.Sequential(Convolutions(16), Convolutions(16))
        self.merge = nn.Conv2d(16, 32, 2, 2)
        self.attention = nn.Sequential(Attention(32), Attention(32))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.merge(self.convolutions(self.stem(x)))
        logits: Tensor = self.head(self.attention(x.flatten(2).transpose(1, 2)).mean(1))
        return logits


def build() -> nn.Module:
    return HybridNet()
