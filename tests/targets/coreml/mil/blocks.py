"""Small blocks of common vision models, random weights."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResNetBlock(nn.Module):
    """Bottleneck with a projected shortcut, behind a stem with a max pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.body = nn.Sequential(
            nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 16, 1, bias=False), nn.BatchNorm2d(16),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        result: Tensor = self.head(F.relu(self.body(x) + self.shortcut(x)))
        return result


class MobileNetBlock(nn.Module):
    """Inverted residual with squeeze and excitation, hard swish and ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(12, 12, 5, 1, 2, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU6()
        )
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 4, 1), nn.ReLU(), nn.Conv2d(4, 12, 1))
        self.project = nn.Sequential(nn.Conv2d(12, 3, 1, bias=False), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        result: Tensor = x + self.project(y * F.hardsigmoid(self.squeeze(y)))
        return result


class EfficientNetBlock(nn.Module):
    """MBConv with SiLU, and a strided depthwise convolution on an asymmetric pad."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12), nn.SiLU())
        self.depthwise = nn.Conv2d(12, 12, 3, 2, groups=12, bias=False)
        self.norm = nn.Sequential(nn.BatchNorm2d(12), nn.SiLU())
        self.squeeze = nn.Sequential(nn.Conv2d(12, 3, 1), nn.SiLU(), nn.Conv2d(3, 12, 1), nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(12, 8, 1, bias=False), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(F.pad(self.expand(x), (0, 1, 0, 1))))
        result: Tensor = self.project(y * self.squeeze(y.mean((2, 3), keepdim=True)))
        return result


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, layer norm over channels last, MLP, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(3, 3, 7, padding=3, groups=3)
        self.norm = nn.LayerNorm(3, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(3, 12), nn.GELU(), nn.Linear(12, 3))
        self.scale = nn.Parameter(torch.full((3,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        result: Tensor = x + (self.scale * self.mlp(self.norm(y))).permute(0, 3, 1, 2)
        return result


class ViTBlock(nn.Module):
    """Patches, a class token, positions, and one encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 17, 16))
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(16), nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token, x], 1) + self.positions
        q, k, v = self.qkv(self.norm1(x)).reshape(1, 17, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 17, 16)
        x = x + self.out(y)
        result: Tensor = self.norm3(x + self.mlp(self.norm2(x)))[:, 0]
        return result


class SwinBlock(nn.Module):
    """A shifted window with a mask and a relative position bias, then the merging of patches."""

    index: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(49, 2))
        self.reduction = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 16, bias=False))
        place = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        relative = place[:, :, None] - place[:, None] + 3
        self.register_buffer("index", relative[0] * 7 + relative[1])
        region = torch.zeros(8, 8)
        for number, rows in enumerate([slice(0, 4), slice(4, 6), slice(6, 8)]):
            for other, columns in enumerate([slice(0, 4), slice(4, 6), slice(6, 8)]):
                region[rows, columns] = 3 * number + other
        windows = region.reshape(2, 4, 2, 4).transpose(1, 2).reshape(4, 16)
        self.register_buffer("mask", (windows[:, None] != windows[:, :, None]).float() * -100)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(1, 8, 8, 8)  # (B, H, W, C)
        y = torch.roll(self.norm(x), (-2, -2), (1, 2))
        y = y.reshape(2, 4, 2, 4, 8).permute(0, 2, 1, 3, 4).reshape(4, 16, 8)
        q, k, v = self.qkv(y).reshape(4, 16, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.reshape(-1)].reshape(16, 16, 2).permute(2, 0, 1)
        attention = (q * 0.5) @ k.transpose(-2, -1) + bias[None] + self.mask[:, None]
        y = self.out((attention.softmax(-1) @ v).transpose(1, 2).reshape(4, 16, 8))
        y = y.reshape(2, 2, 4, 4, 8).permute(0, 2, 1, 3, 4).reshape(1, 8, 8, 8)
        x = x + torch.roll(y, (2, 2), (1, 2))
        merged = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        result: Tensor = self.reduction(merged)
        return result


class Upsampler(nn.Module):
    """The ways in which a decoder grows a map."""

    def __init__(self) -> None:
        super().__init__()
        self.transposed = nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1)
        self.depthwise = nn.ConvTranspose2d(4, 4, 2, 2, groups=4, bias=False)
        self.norm, self.group = nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4)
        self.shuffle = nn.Sequential(nn.Conv2d(4, 8, 1), nn.PixelShuffle(2), nn.PReLU(2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.group(self.norm(self.transposed(x)))
        return (
            self.depthwise(x),
            self.shuffle(x),
            F.interpolate(x, scale_factor=2, mode="nearest"),
            F.interpolate(x, size=(21, 30), mode="bilinear"),
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
            F.pixel_unshuffle(x, 2),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.max_pool2d(F.pad(x, (1, 2, 0, 1), mode="reflect"), 2, ceil_mode=True),
        )


BLOCKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet": (ResNetBlock, (1, 3, 32, 32)),
    "mobilenet": (MobileNetBlock, (1, 3, 16, 16)),
    "efficientnet": (EfficientNetBlock, (1, 3, 16, 16)),
    "convnext": (ConvNeXtBlock, (1, 3, 16, 16)),
    "vit": (ViTBlock, (1, 3, 32, 32)),
    "swin": (SwinBlock, (1, 8, 8, 8)),
    "upsampler": (Upsampler, (1, 3, 8, 10)),
}


def make_block(name: str) -> tuple[nn.Module, Tensor]:
    """Returns a block with random weights, statistics too, and an input."""
    constructor, shape = BLOCKS[name]
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = constructor().eval()
    for parameter_name, value in [*module.named_parameters(), *module.named_buffers()]:
        if parameter_name.endswith("running_var"):
            value.data.uniform_(0.5, 2, generator=generator)
        elif parameter_name.endswith("running_mean"):
            value.data.normal_(0, 0.3, generator=generator)
    return module, torch.randn(shape, generator=generator)
