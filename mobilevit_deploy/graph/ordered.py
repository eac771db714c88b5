"""The order of ``topk(sorted=False)``, which PyTorch leaves open: here it is that of the values, as in ``sorted=True``.

A file has some order, and PyTorch another one, so they could not be compared place by place; code that asks for no
order takes each. So a model is captured, and run as the reference, with values in order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

TOPK = (torch.topk, Tensor.topk)
BEFORE_SORTED = 4  # arguments: the tensor, k, dim and largest


class Ordered(TorchFunctionMode):
    """Lets ``topk`` return values in order, also to code that does not ask for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in TOPK:
            return func(*args[:BEFORE_SORTED], **{**(kwargs or {}), "sorted": True})
        return func(*args, **(kwargs or {}))
