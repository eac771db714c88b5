"""Norms by the statistics of what they are given, as means: sums that kernels make in blocks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition


@definition(torch.ops.aten.instance_norm.default)
def instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalises each channel of (N, C, ...) by its own mean and variance, then weight and bias."""
    if not use_input_stats:
        raise NotImplementedError("an instance norm by running statistics")
    return _scale(_normalize(x, list(range(2, x.dim())), eps), weight, bias)


@definition(torch.ops.aten.batch_norm.default)
def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalises each channel of (N, C, ...) by its mean and variance over the batch, then weight and bias."""
    if not training:
        raise NotImplementedError("a batch norm by running statistics")
    return _scale(_normalize(x, [0, *range(2, x.dim())], eps), weight, bias)


@definition(torch.ops.aten.group_norm.default)
def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Normalises each group of channels of (N, C, ...) by its own mean and variance, then weight and bias."""
    width = x.shape[-1] if x.dim() > 2 else 1
    groups = x.reshape(x.shape[0], num_groups, -1, width)  # four axes, as runtimes have means over maps
    return _scale(_normalize(groups, [2, 3], eps).reshape(x.shape), weight, bias)


@definition(torch.ops.aten.var.correction)
def variance(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> Tensor:
    """Returns the variance over some axes, or all; without a correction the divisor is one less than the count."""
    axes = list(dim or range(x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    return (centred * centred).sum(axes, keepdim=keepdim) * (1 / (count - (1 if correction is None else correction)))


def _normalize(x: Tensor, axes: list[int], eps: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * ((centred * centred).mean(axes, keepdim=True) + eps).rsqrt()


def _scale(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    channels = [-1, *[1] * (x.dim() - 2)]
    scaled = x if weight is None else x * weight.reshape(channels)
    return scaled if bias is None else scaled + bias.reshape(channels)
