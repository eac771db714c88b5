"""LightViT: window attention, with learnt global tokens that carry what the windows do not see.

Source: Huang et al., "LightViT: Towards Light-Weight Convolution-Free Vision Transformers",
arXiv 2207.05557; tensor names as in the checkpoints that https://github.com/hunto/LightViT
trains (Apache-2.0). Tokens are (B, G + H*W, C): the G global tokens, then the map row by row.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 7
GATE_REDUCTION = 4
NECK_WIDTH = 1280
BLOCK_NORM_EPS = 1e-6  # of the blocks' two norms and of those on the outputs; the others have PyTorch's 1e-5
TABLE_STD = 0.02

Size = tuple[int, int]


class Stem(nn.Module):
    """Image (B, 3, H, W) to tokens (B, H/8 * W/8, C) and the map's size, halves rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        layers: list[nn.Module] = []
        for channels_in, groups, stride in ((3, 1, 2), (hidden, hidden, 1), (hidden, hidden, 1), (hidden, hidden, 2)):
            layers += [
                nn.Conv2d(channels_in, hidden, 3, stride=stride, padding=1, groups=groups, bias=False),
                nn.BatchNorm2d(hidden),
                nn.GELU(),
            ]
        self.stem = nn.Sequential(*layers)
        self.proj = nn.Conv2d(hidden, channels, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        x = self.proj(self.stem(x))
        tokens: Tensor = self.norm(x.flatten(2).transpose(1, 2))  # (B, H*W, C)
        return tokens, (x.shape[2], x.shape[3])


def relative_positions() -> Tensor:
    """Returns, for every pair of positions in a window, the row of the bias table, (WINDOW**4,) int64."""
    rows, columns = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
    place = torch.stack([rows.flatten(), columns.flatten()])  # (2, WINDOW^2)
    offset = place[:, :, None] - place[:, None, :] + WINDOW - 1  # (2, query, key), each from 0 to 2 * WINDOW - 2
    return (offset[0] * (2 * WINDOW - 1) + offset[1]).flatten()


def split_tokens(x: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Returns the global tokens, (B, G, C), and the map, (B, H, W, C)."""
    globals_ = x.shape[1] - size[0] * size[1]
    return x[:, :globals_], x[:, globals_:].reshape(x.shape[0], *size, x.shape[2])


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Adds zeros right and below until both sides divide: (B, H, W, C) to (B, H', W', C)."""
    rows, columns = -image.shape[1] % multiple, -image.shape[2] % multiple
    return F.pad(image, (0, 0, 0, columns, 0, rows)) if rows or columns else image


class Attention(nn.Module):
    """Attention within windows, to the global tokens, and of these to the map; (B, G + H*W, C) in and out.

    The global tokens gather: they attend to every position. What they gathered is spread: as keys and
    values of a second attention of every position, added to the windows' result. A map that does not
    divide into windows is padded with zeros, right and below, before ``qkv``: the padding takes part in
    the windows' attention with the bias of ``qkv``, and in nothing else.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=TABLE_STD)
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_positions())
        self.qkv = nn.Linear(channels, 3 * channels)
        self.kv_global = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        tokens, image = split_tokens(x, size)
        image = pad_to_multiple(image, WINDOW)  # (B, H', W', C)
        padded = (image.shape[1], image.shape[2])
        tokens, image = split_tokens(self.qkv(torch.cat([tokens, image.flatten(1, 2)], dim=1)), padded)  # of 3C
        local = self._attend_in_windows(image)  # (B, H', W', C)
        if padded != size:
            image, local = image[:, : size[0], : size[1]], local[:, : size[0], : size[1]]
        q, k, v = self._split_heads(image.flatten(1, 2), 3)  # 3 of (B, heads, H*W, d)
        gathered = self._attend(self._split_heads(tokens, 3)[0], k, v)  # (B, G, C)
        k, v = self._split_heads(self.kv_global(gathered), 2)  # 2 of (B, heads, G, d)
        mixed = local.flatten(1, 2) + self._attend(q, k, v)  # (B, H*W, C)
        projected: Tensor = self.proj(torch.cat([gathered, mixed], dim=1))  # (B, G + H*W, C)
        return projected

    def _split_heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        batch, tokens, channels = x.shape
        x = x.reshape(batch, tokens, parts, self.heads, channels // parts // self.heads)
        return tuple(x.permute(2, 0, 3, 1, 4).unbind(0))  # parts of (B, heads, T, d)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        weights = self.scale * q @ k.transpose(-2, -1)  # (B, heads, queries, keys)
        if bias is not None:
            weights = weights + bias
        attended: Tensor = weights.softmax(dim=-1) @ v  # (B, heads, queries, d)
        return attended.transpose(1, 2).flatten(2)  # (B, queries, C)

    def _attend_in_windows(self, qkv: Tensor) -> Tensor:
        batch, height, width, channels = qkv.shape
        rows, columns = height // WINDOW, width // WINDOW
        x = qkv.reshape(batch, rows, WINDOW, columns, WINDOW, channels).transpose(2, 3)
        x = x.reshape(batch * rows * columns, WINDOW**2, channels)  # (B*windows, 49, 3C)
        bias = self.relative_position_bias_table[self.relative_position_index]  # (49*49, heads)
        bias = bias.reshape(WINDOW**2, WINDOW**2, self.heads).permute(2, 0, 1)  # (heads, 49, 49)
        q, k, v = self._split_heads(x, 3)  # 3 of (B*windows, heads, 49, d)
        x = self._attend(q, k, v, bias)  # (B*windows, 49, C)
        x = x.reshape(batch, rows, columns, WINDOW, WINDOW, channels // 3).transpose(2, 3)
        return x.reshape(batch, height, width, channels // 3)  # (B, H', W', C)


class BiDimensionalGate(nn.Module):
    """The paper's bi-dimensional attention: a gate per channel times a gate per token; (B, T, C) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = channels // GATE_REDUCTION
        self.norm = nn.LayerNorm(channels)
        self.global_reduce = nn.Linear(channels, reduced)
        self.local_reduce = nn.Linear(channels, reduced)
        self.act = nn.GELU()
        self.channel_select = nn.Linear(reduced, channels)
        self.spatial_select = nn.Linear(2 * reduced, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm(x)
        overall = self.act(self.global_reduce(z.mean(dim=1, keepdim=True)))  # (B, 1, C/4)
        local = self.act(self.local_reduce(z))  # (B, T, C/4)
        channel_gate = self.channel_select(overall).sigmoid()  # (B, 1, C)
        both = torch.cat([local, overall.expand(-1, local.shape[1], -1)], dim=-1)  # (B, T, C/2)
        spatial_gate = self.spatial_select(both).sigmoid()  # (B, T, 1)
        gated: Tensor = x * channel_gate * spatial_gate
        return gated


class Mlp(nn.Module):
    """Linear, GELU, linear, then both gates on the result; (B, T, C) in and out."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, ratio * channels)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(ratio * channels, channels)
        self.attn = BiDimensionalGate(channels)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.attn(self.fc2(self.act(self.fc1(x))))
        return projected


class Block(nn.Module):
    """Two residual branches: attention, MLP. With ``drop_global`` the tokens between them are the map's only."""

    def __init__(self, channels: int, heads: int, ratio: int, drop_global: bool) -> None:
        super().__init__()
        self.drop_global = drop_global
        self.norm1 = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.attn = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=BLOCK_NORM_EPS)
        self.mlp = Mlp(channels, ratio)

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        x = x + self.attn(self.norm1(x), size)
        if self.drop_global:
            x = x[:, -size[0] * size[1] :]  # (B, H*W, C)
        return x + self.mlp(self.norm2(x)), size


class Merge(nn.Module):
    """Halves the map, odd ones padded, and changes the width: (B, G + H*W, C) to (B, G + H/2*W/2, D)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels_in)
        self.reduction = nn.Linear(4 * channels_in, channels_out, bias=False)
        self.norm2 = nn.LayerNorm(channels_in)
        self.proj = nn.Linear(channels_in, channels_out, bias=False)
        self.res_proj = nn.Linear(channels_in, channels_out, bias=False)

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        tokens, image = split_tokens(x, size)
        image = pad_to_multiple(image, 2)  # (B, H, W, C), H and W even
        neighbours = [image[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]  # 4 of (B, H/2, W/2, C)
        merged: Tensor = self.reduction(self.norm(torch.cat(neighbours, dim=-1)))  # (B, H/2, W/2, D)
        merged = merged + self.res_proj(torch.stack(neighbours).amax(dim=0))
        tokens = self.proj(self.norm2(tokens))  # (B, G, D)
        return torch.cat([tokens, merged.flatten(1, 2)], dim=1), (merged.shape[1], merged.shape[2])


class Stage(nn.ModuleList):
    """A merge, except in the first stage, then blocks; tokens (B, G + H*W, C) and the map's size in and out."""

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        for part in self:
            x, size = part(x, size)
        return x, size


class LightVit(nn.Module):
    """The stem and three stages, at strides 8, 16 and 32, that both tasks share."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        heads: Sequence[int],
        mlp_ratios: Sequence[int],
        global_tokens: int,
        drop_global: bool,
    ) -> None:
        super().__init__()
        self.global_token = nn.Parameter(torch.empty(1, global_tokens, widths[0]))
        nn.init.trunc_normal_(self.global_token, std=TABLE_STD)
        self.patch_embed = Stem(widths[0])
        stages = []
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            merge = [Merge(widths[i - 1], width)] if i else []
            last = drop_global and i == len(depths) - 1
            blocks = (Block(width, heads[i], mlp_ratios[i], last and j == depth - 1) for j in range(depth))
            stages.append(Stage([*merge, *blocks]))
        self.stages = nn.ModuleList(stages)

    def embed(self, x: Tensor) -> tuple[Tensor, Size]:
        """Returns the first stage's tokens, the global ones in front, and the map's size."""
        tokens, size = self.patch_embed(x)
        return torch.cat([self.global_token.expand(x.shape[0], -1, -1), tokens], dim=1), size  # (B, G + H*W, C)


class LightVitClassifier(LightVit):
    """Image (B, 3, H, W) to logits (B, classes); trained on maps that divide into windows at every stage."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        heads: Sequence[int],
        mlp_ratios: Sequence[int],
        global_tokens: int,
        num_classes: int,
    ) -> None:
        super().__init__(depths, widths, heads, mlp_ratios, global_tokens, drop_global=False)
        self.norm = nn.LayerNorm(widths[-1], eps=BLOCK_NORM_EPS)
        self.neck = nn.Sequential(nn.Linear(widths[-1], NECK_WIDTH), nn.LayerNorm(NECK_WIDTH), nn.GELU())
        self.head = nn.Linear(NECK_WIDTH, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x, size = self.embed(x)
        for stage in self.stages:
            x, size = stage(x, size)
        logits: Tensor = self.head(self.neck(self.norm(x)).mean(dim=1))
        return logits


class LightVitBackbone(LightVit):
    """Image (B, 3, H, W) to the three stages' normalised maps, (B, widths[i], H/s, W/s), s = 8, 16, 32, rounded up."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        heads: Sequence[int],
        mlp_ratios: Sequence[int],
        global_tokens: int,
    ) -> None:
        super().__init__(depths, widths, heads, mlp_ratios, global_tokens, drop_global=True)
        for i, width in enumerate(widths):
            self.add_module(f"norm{i}", nn.LayerNorm(width, eps=BLOCK_NORM_EPS))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, size = self.embed(x)
        maps = []
        for i, stage in enumerate(self.stages):
            x, size = stage(x, size)
            _, image = split_tokens(x, size)
            maps.append(self.get_submodule(f"norm{i}")(image).permute(0, 3, 1, 2))  # (B, C, H, W)
        return tuple(maps)


def build(
    task: str,
    num_classes: int,
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    heads: Sequence[int],
    mlp_ratios: Sequence[int],
    global_tokens: Mapping[str, int],
) -> nn.Module:
    """Returns the untrained model for a task.

    Args:
        task: ``classify`` or ``features``.
        num_classes: number of logits; unused for ``features``.
        depths: blocks per stage.
        widths: channels per stage.
        heads: attention heads per stage.
        mlp_ratios: width of the MLP's hidden layer over the stage's, per stage.
        global_tokens: number of global tokens by task.
    """
    if task == "features":
        return LightVitBackbone(depths, widths, heads, mlp_ratios, global_tokens[task])
    return LightVitClassifier(depths, widths, heads, mlp_ratios, global_tokens[task], num_classes)
