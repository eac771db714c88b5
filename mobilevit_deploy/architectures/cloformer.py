"""CloFormer: a convolution-like local attention beside an attention over a pooled map.

Source: Fan et al., "Rethinking Local Perception in Lightweight Vision Transformer",
arXiv 2303.17803; tensor names as in the checkpoints that
https://github.com/qhfan/CloFormer trains (MIT).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STEM_STRIDES = (2, 2, 1, 1)
KERNELS = (3, 5, 7, 9)  # of the depthwise convolution in the local attention, per stage
WINDOWS = (8, 4, 2, 1)  # of the pooling in front of the global attention, per stage
MLP_KERNEL = 5
MLP_RATIO = 4


class ConvNormAct(nn.Module):
    """3x3 convolution, BN, ReLU: (B, C, H, W) to (B, D, H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Stem(nn.Module):
    """Image (B, 3, H, W) to the first stage's map (B, C, H/4, W/4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (3, channels // 2, channels, channels, channels)
        for i, stride in enumerate(STEM_STRIDES):
            self.add_module(f"conv{i + 1}", ConvNormAct(widths[i], widths[i + 1], stride))
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.layernorm = nn.GroupNorm(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


class SwishPerceptron(nn.Module):
    """1x1, swish, 1x1: the non-linearity between the queries' product with the keys and the tanh."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act_block = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.SiLU(), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act_block(x)
        return out


class Attention(nn.Module):
    """The paper's two branches, concatenated on the channels; (B, C, H, W) in and out.

    High frequencies: ``tanh(f(q * k) / sqrt(d)) * v`` with q, k, v from a 1x1 and a depthwise convolution,
    f = 1x1, swish, 1x1. Low frequencies: softmax attention of every position to the average-pooled map.
    C = (local_heads + pooled heads) * d; H and W divide by ``window``.
    """

    def __init__(self, channels: int, heads: int, local_heads: int, kernel: int, window: int) -> None:
        super().__init__()
        self.head_width = channels // heads
        self.scale = self.head_width**-0.5
        local = local_heads * self.head_width
        pooled = channels - local
        self.global_q = nn.Conv2d(channels, pooled, 1)
        self.global_kv = nn.Conv2d(channels, 2 * pooled, 1)
        self.pool = nn.AvgPool2d(window) if window > 1 else nn.Identity()
        # Lists of one: the published code can split the local heads among several kernel sizes.
        self.convs = nn.ModuleList([nn.Conv2d(3 * local, 3 * local, kernel, padding=kernel // 2, groups=3 * local)])
        self.act_blocks = nn.ModuleList([SwishPerceptron(local)])
        self.qkvs = nn.ModuleList([nn.Conv2d(channels, 3 * local, 1)])
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.high_frequencies(x), self.low_frequencies(x)], dim=1)  # (B, C, H, W)
        mixed: Tensor = self.proj(both)
        return mixed

    def high_frequencies(self, x: Tensor) -> Tensor:
        """Returns the local branch, (B, local_heads * d, H, W)."""
        q, k, v = self.convs[0](self.qkvs[0](x)).chunk(3, dim=1)
        local: Tensor = torch.tanh(self.scale * self.act_blocks[0](q * k)) * v
        return local

    def low_frequencies(self, x: Tensor) -> Tensor:
        """Returns the pooled branch, (B, heads * d, H, W)."""
        batch, _, height, width = x.shape
        q = self._split_heads(self.global_q(x))  # (B, heads, H*W, d)
        k, v = self.global_kv(self.pool(x)).chunk(2, dim=1)
        k, v = self._split_heads(k), self._split_heads(v)  # (B, heads, H*W/window^2, d)
        weights = (self.scale * q @ k.transpose(-2, -1)).softmax(dim=-1)  # (B, heads, H*W, H*W/window^2)
        pooled: Tensor = (weights @ v).transpose(-2, -1).reshape(batch, -1, height, width)  # (B, heads*d, H, W)
        return pooled

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, self.head_width, x.shape[2] * x.shape[3]).transpose(-2, -1)


class Mlp(nn.Module):
    """1x1 to four times the width, GELU, depthwise 5x5, 1x1: (B, C, H, W) to (B, D, H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        hidden = MLP_RATIO * channels_in
        self.fc1 = nn.Conv2d(channels_in, hidden, 1)
        self.act = nn.GELU()
        self.dwconv = nn.Conv2d(hidden, hidden, MLP_KERNEL, stride=stride, padding=MLP_KERNEL // 2, groups=hidden)
        self.fc2 = nn.Conv2d(hidden, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.fc2(self.dwconv(self.act(self.fc1(x))))
        return projected


class Block(nn.Module):
    """Two residual branches: attention, MLP. A block with ``channels_out`` halves the map in the second one."""

    def __init__(
        self, channels: int, heads: int, local_heads: int, kernel: int, window: int, channels_out: int | None
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, channels)
        self.attn = Attention(channels, heads, local_heads, kernel, window)
        self.norm2 = nn.GroupNorm(1, channels)
        self.downsample = nn.Identity() if channels_out is None else _downsample(channels, channels_out)
        self.mlp = Mlp(channels, channels_out or channels, stride=1 if channels_out is None else 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the map after the attention branch, (B, C, H, W), and after the MLP branch as well."""
        mixed = x + self.attn(self.norm1(x))
        return mixed, self.downsample(mixed) + self.mlp(self.norm2(mixed))


def _downsample(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 5, stride=2, padding=2),
        nn.BatchNorm2d(channels_in),
        nn.Conv2d(channels_in, channels_out, 1),
    )


class Stage(nn.Module):
    """Blocks at one stride; the last one leads to the next stage's width and stride, where there is a next."""

    def __init__(
        self,
        depth: int,
        channels: int,
        heads: int,
        local_heads: int,
        kernel: int,
        window: int,
        channels_out: int | None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(channels, heads, local_heads, kernel, window, channels_out if i == depth - 1 else None)
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the last map at the stage's own stride and width, and the next stage's input."""
        mixed = x
        for block in self.blocks:
            mixed, x = block(x)
        return mixed, x


class CloFormer(nn.Module):
    """The stem and four stages, at strides 4, 8, 16 and 32, that both tasks share."""

    def __init__(
        self, depths: Sequence[int], widths: Sequence[int], heads: Sequence[int], local_heads: Sequence[int]
    ) -> None:
        super().__init__()
        self.patch_embed = Stem(widths[0])
        per_stage = zip(depths, widths, heads, local_heads, KERNELS, WINDOWS, [*widths[1:], None], strict=True)
        self.layers = nn.ModuleList(Stage(*options) for options in per_stage)


class CloFormerClassifier(CloFormer):
    """Image (B, 3, H, W) to logits (B, classes)."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        heads: Sequence[int],
        local_heads: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__(depths, widths, heads, local_heads)
        self.norm = nn.GroupNorm(1, widths[-1])
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for stage in self.layers:
            _, x = stage(x)
        x = self.norm(x).flatten(2).mean(-1)  # (B, C)
        logits: Tensor = self.head(x)
        return logits


class CloFormerBackbone(CloFormer):
    """Image (B, 3, H, W) to the four stages' maps, (B, widths[i], H/s, W/s), s = 4, 8, 16, 32.

    The published code has no detection backbone, so there is no norm on these maps. The last block of
    stages 1 to 3 halves the map in its MLP branch: what is returned of them is the map after that block's
    attention, the last one at the stage's own stride and width. The fourth is the last block's output.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.patch_embed(x)
        maps = []
        for stage in self.layers:
            mixed, x = stage(x)
            maps.append(mixed)
        return (*maps[:-1], x)


def build(
    task: str,
    num_classes: int,
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    heads: Sequence[int],
    local_heads: Sequence[int],
) -> nn.Module:
    """Returns the untrained model for a task.

    Args:
        task: ``classify`` or ``features``.
        num_classes: number of logits; unused for ``features``.
        depths: blocks per stage.
        widths: channels per stage.
        heads: attention heads per stage, of both branches together.
        local_heads: how many of them are in the high-frequency branch.
    """
    if task == "features":
        return CloFormerBackbone(depths, widths, heads, local_heads)
    return CloFormerClassifier(depths, widths, heads, local_heads, num_classes)
