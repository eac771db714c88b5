"""Window attention and pooled attention as research code writes them: views of six axes, einsums, a custom gradient."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 7


class SwishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)


class Windows(nn.Module):
    """(B, H, W, C) in and out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn((2 * WINDOW - 1) ** 2, heads))
        grid = torch.stack(torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")).flatten(1)
        distance = (grid[:, :, None] - grid[:, None]).permute(1, 2, 0) + WINDOW - 1
        self.register_buffer("index", distance[..., 0] * (2 * WINDOW - 1) + distance[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = x.view(b, h // WINDOW, WINDOW, w // WINDOW, WINDOW, c).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, WINDOW * WINDOW, c)  # (B * windows, 49, C)
        q, k, v = self.qkv(x).reshape(-1, WINDOW**2, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * (c // self.heads) ** -0.5
        bias = self.table[self.get_buffer("index").view(-1)].view(WINDOW**2, WINDOW**2, -1).permute(2, 0, 1)
        x = torch.einsum("bhqk,bhkd->bqhd", (scores + bias[None]).softmax(-1), v).reshape(x.shape)
        x = self.proj(x).view(b, h // WINDOW, w // WINDOW, WINDOW, WINDOW, c)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


class Pooled(nn.Module):
    """(B, C, H, W) in and out; keys and values are averages over windows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.pool = nn.GroupNorm(1, width), nn.AvgPool2d(2, 2)
        self.to_q, self.to_kv = nn.Conv2d(width, width, 1), nn.Conv2d(width, 2 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y = self.norm(x)
        q = self.to_q(y).reshape(b, self.heads, -1, h * w).transpose(-1, -2)
        k, v = self.to_kv(self.pool(y)).view(b, 2, self.heads, c // self.heads, -1).unbind(1)
        scores = ((c // self.heads) ** -0.5 * (q @ k)).softmax(-1)
        mixed: Tensor = (scores @ v.transpose(-1, -2)).transpose(-1, -2).reshape(b, c, h, w)
        return x + mixed


class WindowNet(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.norm = nn.LayerNorm(width)
        self.windows, self.pooled = Windows(width, 4), Pooled(width, 2)
        self.up = nn.ConvTranspose2d(width, width, 3, 2, 1, output_padding=1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.windows(self.norm(self.stem(x).permute(0, 2, 3, 1)))
        x = F.max_pool3d(x, (2, 2, 1)).permute(0, 3, 1, 2)
        x = self.up(self.pooled(SwishFunction.apply(x)))  # type: ignore[no-untyped-call]
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def build() -> nn.Module:
    return WindowNet()
