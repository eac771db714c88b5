"""Reductions and the running sum.

Source: coremltools' ``mil/ops/defs/iOS15/reduction.py``; ``cumsum`` in ``tensor_operation.py``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mobilevit_deploy.targets.coreml.mil.operations.registry import operation

Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):  # torch takes one axis at a time
        x = x.prod(axis, keepdim=keep)
    return x


def _register(name: str, reduce: Reduce, rounds: bool = True) -> None:
    def handler(x: Tensor, axes: list[int] | None = None, keep_dims: bool = False) -> Tensor:
        return reduce(x, axes or list(range(x.ndim)), keep_dims)

    operation(name, rounds=rounds)(handler)


_register("reduce_l1_norm", lambda x, axes, keep: x.abs().sum(axes, keep))
_register("reduce_l2_norm", lambda x, axes, keep: x.square().sum(axes, keep).sqrt())
_register("reduce_log_sum", lambda x, axes, keep: x.sum(axes, keep).log())
_register("reduce_log_sum_exp", lambda x, axes, keep: torch.logsumexp(x, axes, keep))
_register("reduce_max", lambda x, axes, keep: x.amax(axes, keep), rounds=False)
_register("reduce_mean", lambda x, axes, keep: x.mean(axes, keep))
_register("reduce_min", lambda x, axes, keep: x.amin(axes, keep), rounds=False)
_register("reduce_prod", _product)
_register("reduce_sum", lambda x, axes, keep: x.sum(axes, keep))
_register("reduce_sum_square", lambda x, axes, keep: x.square().sum(axes, keep))


@operation(rounds=False)
def reduce_argmax(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
    """Index of the largest value along an axis, the first of equals."""
    return _to_integers(x.argmax(axis, keep_dims), output_dtype)


@operation(rounds=False)
def reduce_argmin(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Tensor:
    """Index of the smallest value along an axis, the first of equals."""
    return _to_integers(x.argmin(axis, keep_dims), output_dtype)


@operation()
def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Running sum along an axis, without the element itself if exclusive, from the end if reversed."""
    source = x.flip(axis) if reverse else x
    total = source.cumsum(axis)
    if exclusive:
        total = total.roll(1, axis).index_fill(axis, torch.tensor([0]), 0)
    return total.flip(axis) if reverse else total


def _to_integers(indices: Tensor, dtype: str) -> Tensor:
    if dtype not in ("int32", "uint16"):
        raise ValueError(f"unknown output_dtype {dtype}")
    return indices
