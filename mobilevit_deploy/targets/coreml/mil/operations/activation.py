"""Activations.

Source: coremltools' ``mil/ops/defs/iOS15/activation.py``, whose formulas the docstrings repeat.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


@operation()
def clamped_relu(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``min(x, beta)`` where ``x >= 0``, else ``min(alpha * x, beta)``."""
    return torch.where(x >= 0, x, alpha * x).clamp(max=beta)


@operation()
def elu(x: Tensor, alpha: float) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``."""
    return F.elu(x, alpha)


@operation()
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """``x * Phi(x)``: by erf, by its tanh approximation, or as ``x * sigmoid(1.702 x)``."""
    if mode == "EXACT":
        return F.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return F.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise ValueError(f"unknown mode {mode}")


@operation()
def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    """``x`` where positive, else ``alpha * x``."""
    return F.leaky_relu(x, alpha)


@operation()
def linear_activation(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``alpha * x + beta``."""
    return alpha * x + beta


@operation()
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """``x`` where positive, else ``alpha_c * x``; x is (N, C, ...)."""
    return F.prelu(x, alpha)


@operation(rounds=False)
def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``."""
    return F.relu(x)


@operation(rounds=False)
def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return F.relu6(x)


@operation()
def scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``alpha * tanh(beta * x)``."""
    return alpha * torch.tanh(beta * x)


@operation()
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return torch.sigmoid(x)


@operation()
def sigmoid_hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``min(max(alpha * x + beta, 0), 1)``."""
    return (alpha * x + beta).clamp(0, 1)


@operation()
def silu(x: Tensor) -> Tensor:
    """``x * sigmoid(x)``."""
    return F.silu(x)


@operation()
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis."""
    return torch.softmax(x, axis)


@operation()
def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``."""
    return torch.logaddexp(x, torch.zeros_like(x))


@operation()
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """``alpha_c * log(1 + exp(beta_c * x))``; x is (N, C, ...)."""
    channels = (1, -1, *[1] * (x.ndim - 2))
    return alpha.reshape(channels) * softplus(beta.reshape(channels) * x)


@operation()
def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return F.softsign(x)


@operation()
def tanh(x: Tensor) -> Tensor:
    """``tanh(x)``."""
    return torch.tanh(x)


@operation(rounds=False)
def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    """``x`` where ``x >= alpha``, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))
