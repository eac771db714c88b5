"""What PyTorch does not take apart, or with worse operations than there are: functions of tensors, one file a kind."""

from mobilevit_deploy.rewrites.compatibility.definitions import (
    attention,
    convolution,
    elementwise,
    folding,
    normalization,
    ordering,
    padding,
    pooling,
    products,
    recurrent,
    reductions,
    volumes,
    writing,
)

__all__ = [
    "attention",
    "convolution",
    "elementwise",
    "folding",
    "normalization",
    "ordering",
    "padding",
    "pooling",
    "products",
    "recurrent",
    "reductions",
    "volumes",
    "writing",
]
