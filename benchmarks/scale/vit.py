"""A plain vision transformer of any width and depth (Dosovitskiy et al., arXiv 2010.11929); nothing of mvd in it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm."""

    def __init__(self, width: int) -> None:
        """Makes one for tokens of ``width`` channels."""
        super().__init__()
        self.heads = width // 64
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns tokens, (B, N, C)."""
        batch, tokens, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.proj(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Patches of 16 pixels, blocks, and the mean of the tokens."""

    def __init__(self, width: int, depth: int, size: int) -> None:
        """Makes one with ``depth`` blocks for images of ``size`` pixels."""
        super().__init__()
        self.patch = nn.Conv2d(3, width, 16, 16)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // 16) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Takes images, (B, 3, H, W), and returns logits, (B, 1000)."""
        tokens = self.patch(x).flatten(2).transpose(1, 2) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits


def build(width: int, depth: int = 12, size: int = 224) -> nn.Module:
    """Builds one for images of ``size`` pixels; ``width`` is a multiple of 64."""
    torch.manual_seed(0)
    return ViT(width, depth, size).eval()
