"""Normalisations.

Source: coremltools' ``mil/ops/defs/iOS15/normalization.py``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation()
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """``gamma_c * (x - mean_c) / sqrt(variance_c + epsilon) + beta_c``; x is (N, C, ...)."""
    return F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


@operation()
def instance_norm(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5) -> Tensor:
    """Each channel of each image by its own mean and variance, then gamma and beta; x is (N, C, ...)."""
    axes = tuple(range(2, x.ndim))
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    result = (x - mean) * torch.rsqrt(variance + epsilon)
    channels = (1, -1, *[1] * (x.ndim - 2))
    if gamma is not None:
        result = result * gamma.reshape(channels)
    return result if beta is None else result + beta.reshape(channels)


@operation()
def layer_norm(
    x: Tensor,
    axes: list[int] | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Over the given axes by their mean and variance, then gamma and beta, which have those axes' sizes."""
    normalised = sorted(axis % x.ndim for axis in axes) if axes else list(range(x.ndim))
    if normalised == list(range(x.ndim - len(normalised), x.ndim)):
        return F.layer_norm(x, x.shape[normalised[0] :], gamma, beta, epsilon)
    shape = [size if axis in normalised else 1 for axis, size in enumerate(x.shape)]
    variance, mean = torch.var_mean(x, normalised, correction=0, keepdim=True)
    result = (x - mean) * torch.rsqrt(variance + epsilon)
    if gamma is not None:
        result = result * gamma.reshape(shape)
    return result if beta is None else result + beta.reshape(shape)


@operation()
def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """``x / sqrt(sum(x^2) + epsilon)`` over the last three axes."""
    return x * torch.rsqrt(x.square().sum((-3, -2, -1), keepdim=True) + epsilon)


@operation()
def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """``x / (k + alpha / size * sum(x^2))^beta``, the sum over ``size`` neighbouring channels."""
    return F.local_response_norm(x, size, alpha, beta, k)
