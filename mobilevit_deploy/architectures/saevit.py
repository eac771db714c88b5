"""SAEViT, a reconstruction: sparsely aggregated attention beside depthwise separable convolutions.

Source: Zhang et al., "A Lightweight Convolution and Vision Transformer integrated model with Multi-scale
Self-attention Mechanism", arXiv 2508.16884; Neurocomputing 658:131670. No code and no weights of it are
public. The abstract names the parts and the cost of two models; how each part computes here, the tensor
names, the widths and the depths are this project's, so no published figure holds for them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

REDUCTIONS = (8, 4, 2, 1)  # side of the square of positions that one sample stands for, per stage
MLP_RATIO = 4
GAMMA = 0.1  # initial weight of the redistribution: present, and small beside the features themselves


class SeparableConv(nn.Module):
    """The paper's DWSConv: depthwise 3x3, BN, GELU, 1x1, BN; (B, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.network(x)
        return convolved


class SparseAttention(nn.Module):
    """The paper's SAA: attention among samples of the map, then back to the whole map; (B, C, H, W) in and out.

    A sample is the mean of ``reduction`` by ``reduction`` positions; a depthwise transposed convolution with
    that kernel and stride spreads each one over the positions that it came from. H and W divide by ``reduction``.
    """

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.sample = nn.AvgPool2d(reduction) if reduction > 1 else nn.Identity()
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.recover: nn.Module = nn.Identity()
        if reduction > 1:
            self.recover = nn.ConvTranspose2d(channels, channels, reduction, stride=reduction, groups=channels)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.sample(x)  # (B, C, h, w), h = H/reduction
        batch, channels, height, width = x.shape
        qkv = self.qkv(x).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        q, k, v = qkv.transpose(-2, -1).unbind(1)  # 3 of (B, heads, h*w, d)
        weights = (self.scale * q @ k.transpose(-2, -1)).softmax(dim=-1)  # (B, heads, h*w, h*w)
        x = (weights @ v).transpose(-2, -1).reshape(batch, channels, height, width)  # (B, C, h, w)
        mixed: Tensor = self.proj(self.recover(x))  # (B, C, H, W)
        return mixed


class Redistribution(nn.Module):
    """Splits off what all channels share and gives it back per channel: ``h + gamma * (h - GELU(1x1(h)))``.

    The 1x1 leads to one channel, which every channel is compared with; (B, C, H, W) in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = nn.Conv2d(channels, 1, 1)
        self.act = nn.GELU()
        self.gamma = nn.Parameter(torch.full((1, channels, 1, 1), GAMMA))

    def forward(self, h: Tensor) -> Tensor:
        redistributed: Tensor = h + self.gamma * (h - self.act(self.shared(h)))  # (B, C, H, W) - (B, 1, H, W)
        return redistributed


class ChannelInteractiveMlp(nn.Module):
    """The paper's CIFFN: 1x1 to four times the width, depthwise 3x3, GELU, redistribution, 1x1 back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = MLP_RATIO * channels
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.act = nn.GELU()
        self.redistribute = Redistribution(hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.fc2(self.redistribute(self.act(self.dwconv(self.fc1(x)))))
        return projected


class Block(nn.Module):
    """Three residual branches: separable convolution, sparse attention, MLP; (B, C, H, W) in and out."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.conv = SeparableConv(channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.attn = SparseAttention(channels, heads, reduction)
        self.norm2 = nn.BatchNorm2d(channels)
        self.mlp = ChannelInteractiveMlp(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.conv(x)
        x = x + self.attn(self.norm1(x))
        transformed: Tensor = x + self.mlp(self.norm2(x))
        return transformed


class Embedding(nn.Module):
    """Halves the map and changes the width: (B, C, H, W) to (B, D, H/2, W/2)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.proj(x))
        return embedded


class SaeVit(nn.Module):
    """The stem and four stages, at strides 4, 8, 16 and 32, that both tasks share."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], head_width: int) -> None:
        super().__init__()
        stem = widths[0] // 2
        self.stem = nn.Sequential(Embedding(3, stem), nn.GELU(), Embedding(stem, widths[0]), nn.GELU())
        stages = []
        for i, (depth, width, reduction) in enumerate(zip(depths, widths, REDUCTIONS, strict=True)):
            embedding = [Embedding(widths[i - 1], width)] if i else []
            blocks = (Block(width, width // head_width, reduction) for _ in range(depth))
            stages.append(nn.Sequential(*embedding, *blocks))
        self.stages = nn.ModuleList(stages)


class SaeVitClassifier(SaeVit):
    """Image (B, 3, H, W) to logits (B, classes)."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], head_width: int, num_classes: int) -> None:
        super().__init__(depths, widths, head_width)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.norm(x).flatten(2).mean(-1)  # (B, C)
        logits: Tensor = self.head(x)
        return logits


class SaeVitBackbone(SaeVit):
    """Image (B, 3, H, W) to the four stages' normalised maps, (B, widths[i], H/s, W/s), s = 4, 8, 16, 32."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], head_width: int) -> None:
        super().__init__(depths, widths, head_width)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        maps = []
        for stage, norm in zip(self.stages, self.norms, strict=True):
            x = stage(x)
            maps.append(norm(x))
        return tuple(maps)


def build(task: str, num_classes: int, *, depths: Sequence[int], widths: Sequence[int], head_width: int) -> nn.Module:
    """Returns the untrained model for a task.

    Args:
        task: ``classify`` or ``features``.
        num_classes: number of logits; unused for ``features``.
        depths: blocks per stage.
        widths: channels per stage.
        head_width: channels per attention head; divides the widths.
    """
    if task == "features":
        return SaeVitBackbone(depths, widths, head_width)
    return SaeVitClassifier(depths, widths, head_width, num_classes)
