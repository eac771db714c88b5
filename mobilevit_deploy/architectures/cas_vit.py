"""CAS-ViT: convolutions and an additive token mixer.

Source: Zhang et al., "CAS-ViT: Convolutional Additive Self-attention Vision
Transformers for Efficient Mobile Applications", arXiv 2408.03703; tensor names as in
the checkpoints that https://github.com/Tianfang-Zhang/CAS-ViT trains (MIT).
"""

from collections.abc import Sequence

from torch import Tensor, nn

MLP_RATIO = 4


class SpatialGate(nn.Module):
    """Weights every position: ``x * sigmoid(1x1(ReLU(BN(dw3x3(x)))))``; (B, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.block(x)  # (B, 1, H, W)
        return x * gate


class ChannelGate(nn.Module):
    """Weights every channel: ``x * sigmoid(1x1(mean of x))``; (B, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.block(x)  # (B, C, 1, 1)
        return x * gate


class AdditiveMixer(nn.Module):
    """The paper's convolutional additive self-attention: ``proj(dwc(gate(q) + gate(k)) * v)``.

    Linear in the number of positions: no product of queries with keys. (B, C, H, W) in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.oper_q = nn.Sequential(SpatialGate(channels), ChannelGate(channels))
        self.oper_k = nn.Sequential(SpatialGate(channels), ChannelGate(channels))
        self.dwc = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.proj = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=1)
        mixed: Tensor = self.proj(self.dwc(self.oper_q(q) + self.oper_k(k)) * v)
        return mixed


class LocalPerception(nn.Module):
    """The convolutional branch of a block: 1x1, BN, dw3x3, GELU, 1x1; (B, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        perceived: Tensor = self.network(x)
        return perceived


class Mlp(nn.Module):
    """1x1 to four times the width, GELU, 1x1 back; (B, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, MLP_RATIO * channels, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(MLP_RATIO * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.fc2(self.act(self.fc1(x)))
        return projected


class Block(nn.Module):
    """Three residual branches: local perception, additive mixer, MLP; (B, C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local_perception = LocalPerception(channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.attn = AdditiveMixer(channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.mlp = Mlp(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.local_perception(x)
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class Embedding(nn.Module):
    """Halves the map and changes the width: (B, C, H, W) to (B, D, H/2, W/2)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.proj(x))
        return embedded


class CasVit(nn.Module):
    """The stem and four stages, at strides 4, 8, 16 and 32, that both tasks share."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        stem = widths[0] // 2
        self.patch_embed = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.Conv2d(stem, widths[0], 3, stride=2, padding=1),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        parts: list[nn.Module] = []
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i:
                parts.append(Embedding(widths[i - 1], width))
            parts.append(nn.Sequential(*(Block(width) for _ in range(depth))))
        self.network = nn.ModuleList(parts)  # stages at 0, 2, 4, 6; embeddings at 1, 3, 5


class CasVitClassifier(CasVit):
    """Image (B, 3, H, W) to logits (B, classes); with a distillation head, the mean of both heads."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], num_classes: int, distillation_head: bool) -> None:
        super().__init__(depths, widths)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], num_classes)
        self.dist_head = nn.Linear(widths[-1], num_classes) if distillation_head else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for part in self.network:
            x = part(x)
        x = self.norm(x).flatten(2).mean(-1)  # (B, C)
        logits: Tensor = self.head(x)
        return logits if self.dist_head is None else (logits + self.dist_head(x)) / 2


class CasVitBackbone(CasVit):
    """Image (B, 3, H, W) to the four stages' normalised maps, (B, widths[i], H/s, W/s), s = 4, 8, 16, 32."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__(depths, widths)
        for i, width in enumerate(widths):
            self.add_module(f"norm{2 * i}", nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.patch_embed(x)
        maps = []
        for i, part in enumerate(self.network):
            x = part(x)
            if i % 2 == 0:
                maps.append(self.get_submodule(f"norm{i}")(x))
        return tuple(maps)


def build(
    task: str, num_classes: int, *, depths: Sequence[int], widths: Sequence[int], distillation_head: bool = False
) -> nn.Module:
    """Returns the untrained model for a task.

    Args:
        task: ``classify`` or ``features``.
        num_classes: number of logits; unused for ``features``.
        depths: blocks per stage.
        widths: channels per stage.
        distillation_head: whether a second head was trained by distillation; unused for ``features``.
    """
    if task == "features":
        return CasVitBackbone(depths, widths)
    return CasVitClassifier(depths, widths, num_classes, distillation_head)
