"""The ops of MIL on torch, one group a file; importing a file registers its handlers in ``HANDLERS``."""

from mobilevit_deploy.mil.operations import (
    activation,
    binary,
    classify,
    convolution,
    creation,
    gather,
    linear,
    movement,
    normalization,
    pooling,
    quantization,
    reduction,
    resize,
    slicing,
    sorting,
    state,
    unary,
)
from mobilevit_deploy.mil.operations.registry import HANDLERS

__all__ = [
    "HANDLERS",
    "activation",
    "binary",
    "classify",
    "convolution",
    "creation",
    "gather",
    "linear",
    "movement",
    "normalization",
    "pooling",
    "quantization",
    "reduction",
    "resize",
    "slicing",
    "sorting",
    "state",
    "unary",
]
