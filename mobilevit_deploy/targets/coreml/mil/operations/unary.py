"""Ops on each element alone.

Source: coremltools' ``mil/ops/defs/iOS15/elementwise_unary.py`` and ``iOS17/elementwise_unary.py``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation


def _register(name: str, function: Callable[[Tensor], Tensor], rounds: bool = True) -> None:
    def handler(x: Tensor) -> Tensor:
        return function(x)

    operation(name, rounds=rounds)(handler)


for _name, _function in {
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
}.items():
    _register(_name, _function)

for _name, _function in {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
}.items():
    _register(_name, _function, rounds=False)


@operation(rounds=False)
def identity(x: Tensor) -> Tensor:
    """``x``."""
    return x


@operation()
def cast(x: Tensor, dtype: str) -> Tensor:
    """Another type; to integers truncates toward zero.

    The declared type of the output decides between the float types, for how fp16 is held depends on the mode.
    """
    if dtype.startswith("fp"):
        return x if x.is_floating_point() else x.float()
    return x.bool() if dtype == "bool" else x.long()


@operation()
def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``min(max(x, alpha), beta)``."""
    return x.clamp(alpha, beta)


@operation()
def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """``1 / (x + epsilon)``."""
    return torch.reciprocal(x + epsilon)


@operation()
def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    """``log(x + epsilon)``."""
    return torch.log(x + epsilon)


@operation()
def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """``1 / sqrt(x + epsilon)``."""
    return torch.rsqrt(x + epsilon)


@operation()
def threshold(x: Tensor, alpha: float) -> Tensor:
    """``max(x, alpha)``."""
    return x.clamp(min=alpha)
