"""Ops of vision models with unusual arguments, through conversion and evaluation: they agree with PyTorch.

What does not, coremltools refuses, or ``mobilevit_deploy/targets/coreml/faults.py`` names.
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.rewrites.conftest import Of
from tests.targets.coreml.conversion import LIMIT, Function, error_of


def _heads(x: Tensor) -> Tensor:
    return x.reshape(1, 2, 16, 9)


def _grid(x: Tensor) -> Tensor:
    return x[:, :2].permute(0, 2, 3, 1) * 0.6


def _positive(x: Tensor) -> Tensor:
    return x.abs() + 0.1


MASK = torch.linspace(-2, 2, 256).reshape(16, 16)

AGREES: dict[str, nn.Module | Function] = {
    "reflect": lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate"),
    "constant": lambda x: F.pad(x, (1, 0, 0, 1, 2, 1), value=-1.5),
    "two pads": lambda x: F.pad(F.pad(x, (1, 1), value=2.0), (1, 1, 1, 0)),
    "pad and convolution": Of(lambda m, x: m.conv(F.pad(x, (1, 2, 0, 1), value=1.5)), conv=nn.Conv2d(4, 6, 3)),
    "nearest": lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, size=(5, 4))),
    "bilinear": lambda x: F.interpolate(x, size=(13, 5), mode="bilinear"),
    "aligned corners": lambda x: F.interpolate(x, scale_factor=(2.3, 0.6), mode="bilinear", align_corners=True),
    "area": lambda x: F.interpolate(x, size=(5, 4), mode="area"),
    "max pool in ceil mode": lambda x: F.max_pool2d(x, (2, 3), (3, 2), (1, 1), ceil_mode=True),
    "mean with its padding": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "mean without padding": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    "adaptive means": lambda x: (F.adaptive_avg_pool2d(x, 3), F.adaptive_avg_pool2d(x, (11, 5))),
    "adaptive maxima": lambda x: F.adaptive_max_pool2d(x, (5, 4)),
    "same, even kernel": nn.Conv2d(4, 6, (2, 4), padding="same"),
    "same, dilated": nn.Conv2d(4, 6, 4, padding="same", dilation=3),
    "transposed": nn.ConvTranspose2d(4, 4, 3, 2, 2, output_padding=1, dilation=2, groups=2),
    "transposed with output padding": nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=(1, 0)),
    "hard": lambda x: (F.hardswish(x * 3), F.hardsigmoid(x * 3), F.hardtanh(x, -0.3, 0.7), F.relu6(x * 5)),
    "exponential": lambda x: (F.elu(x, 0.3), F.selu(x), F.mish(x), F.softplus(x, beta=3.0), F.softplus(x * 20)),
    "shrinking": lambda x: (F.softshrink(x), F.tanhshrink(x), F.threshold(x, -0.5, -3.0), F.softsign(x)),
    "leaky": lambda x: (F.leaky_relu(x, -0.2), torch.maximum(x, -0.2 * x), torch.maximum(x, 2.0 * x)),
    "prelu": nn.PReLU(4),
    "gelu": lambda x: (
        F.gelu(x),
        0.5 * x * (1 + torch.erf(x / 1.4)),
        0.5 * x * (1 + torch.tanh(0.8 * (x + 0.05 * x**3))),
    ),
    "gates": lambda x: (F.silu(x * -30), F.glu(x, 1), x * torch.sigmoid(1.702 * x)),
    "softmax of large values": lambda x: (x * 100).softmax(1),
    "layer norm": lambda x: F.layer_norm(x * 1e-3, (9,), eps=1e-6),
    "layer norm without bias": Of(lambda m, x: m.norm(x), norm=nn.LayerNorm(9, bias=False)),
    "norm over channels": lambda x: (x - x.mean(1, True)) / torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-6),
    "group norm": nn.GroupNorm(2, 4, eps=1e-2),
    "group norm of one group": nn.GroupNorm(1, 4),
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "batch norm": nn.BatchNorm2d(4, eps=0.1),
    "response norm": lambda x: F.local_response_norm(x * 100, 3, 0.1, 0.5, 2.0),
    "unit length": lambda x: (F.normalize(x, dim=1), F.normalize(x * 1e-8, dim=1), F.normalize(x, p=1.0, dim=2)),
    "deviation": lambda x: (x.std((2, 3), correction=0), x.var(1, correction=2, keepdim=True), x.var(2)),
    "sums of exponentials": lambda x: (x.logsumexp(1), (x * 200).logsumexp((1, 2), True)),
    "running sums": lambda x: x.cumsum(2),
    "extremes": lambda x: (x.amax((1, 3)), x.amin((1, 3), True), x.max(2)[0], x.argmax(2), x.argmin(1, keepdim=True)),
    "order": lambda x: (x.sort(2, descending=True)[0], x.topk(3, 2)[0], x.topk(3, 1, largest=False)[1], x.argsort(3)),
    "norms": lambda x: (x.norm(dim=1), x.norm(p=3, dim=1), torch.linalg.vector_norm(x, dim=(1, 2))),
    "small logarithms": lambda x: ((_positive(x) * 1e-30).log(), (_positive(x) * 1e-20).log2()),
    "powers": lambda x: (x**-2, (_positive(x) * 1e-8) ** -1, (_positive(x) * 1e-10) ** -0.5, 2.5**x, _positive(x) ** x),
    "small roots and quotients": lambda x: ((_positive(x) * 1e-20).sqrt(), x / (_positive(x.flip(1)) * 1e-12)),
    "rounding": lambda x: (((x * 4).floor() / 2).round(), x.frac(), x.ceil(), torch.sign(x), torch.sign(F.relu(x))),
    "remainders": lambda x: (
        torch.floor_divide(x, 0.7),
        torch.remainder(x, -0.7),
        torch.div(x, 0.7, rounding_mode="trunc"),
    ),
    "integers": lambda x: (
        ((x * 10).long() - 20) // 3,
        (x * 10).long() % 3,
        (x * 4).int() // -3,
        (x.abs() * 3).to(torch.uint8),
    ),
    "angles": lambda x: (torch.atan(x), torch.erf(x), torch.log1p(_positive(x)), torch.expm1(x), x.tan()),
    "clamps": lambda x: (x.clamp(min=0.1), x.clamp(0.5, 0.2), x.clamp(-0.5, 0.2), x.clamp(min=x.flip(1))),
    "choices": lambda x: (
        torch.where(x > 0, 1.0, -2.0),
        torch.where(x > x.mean(), x, x * 2),
        x.masked_fill(x > 0.5, 3.0),
    ),
    "masked softmax": lambda x: x.masked_fill(x > 0.5, float("-inf")).softmax(3),
    "nan to num": lambda x: torch.nan_to_num(x),
    "shifts": lambda x: (x.roll((1, -2), (2, 3)), x.flip((1, 3)), x.tril(), x.triu(1)),
    "shuffles": lambda x: (
        F.pixel_shuffle(x, 2),
        F.pixel_unshuffle(x[..., :8], 2),
        torch.stack([x, 2 * x], 2).flatten(1, 2),
    ),
    "unfold": lambda x: (F.unfold(x, 3, padding=1, stride=2), F.unfold(x, (2, 3), dilation=(2, 1))),
    "picks": lambda x: (x[:, :, [-1, -2]], x[:, [0, 1], :, [2, 3]], x.gather(2, x.argsort(2)[:, :, :3])),
    "writes": lambda x: (
        x.slice_scatter(x[:, :2] * 2, 1, 1, 3),
        torch.zeros_like(x).scatter(2, x.argmax(2, True), 1.0),
    ),
    "attention": lambda x: F.scaled_dot_product_attention(_heads(x), _heads(x), _heads(x), scale=0.7),
    "causal attention": lambda x: F.scaled_dot_product_attention(
        _heads(x)[:, :, :5], _heads(x), _heads(x), is_causal=True
    ),
    "masked attention": lambda x: F.scaled_dot_product_attention(
        _heads(x), _heads(x), _heads(x), attn_mask=MASK, scale=0.2
    ),
    "attention with a choice": lambda x: F.scaled_dot_product_attention(
        _heads(x), _heads(x), _heads(x), attn_mask=MASK.T > -1
    ),
    "sums of products": lambda x: (
        torch.einsum("bchq,bkhc->bkhq", x, x.permute(0, 3, 2, 1)),
        torch.einsum("bchw,bchw,bchw->bhw", x, x, x),
        torch.einsum("bchw,c->bhw", x, x[0, :, 0, 0]),
    ),
    "products": lambda x: torch.baddbmm(x[0, :, :, :8], x[0], x[0].transpose(1, 2), beta=0.5, alpha=2.0),
    "transposed axes": lambda x: F.pad(x.permute(0, 2, 3, 1).cumsum(1).roll(2, 1), (0, 0, 1, 2)).permute(0, 3, 1, 2),
    "samples": lambda x: (
        F.grid_sample(x, _grid(x), align_corners=False),
        F.grid_sample(x, _grid(x), mode="nearest", padding_mode="border", align_corners=True),
        F.grid_sample(x, _grid(x), padding_mode="reflection", align_corners=False),
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding")  # of even kernels, by PyTorch
@pytest.mark.parametrize("name", AGREES)
def test_agrees(name: str, tmp_path: Path) -> None:
    assert error_of(AGREES[name], tmp_path, rewrite=False) < LIMIT
