"""Complex arithmetic on pairs of real tensors; a Fourier transform is a product with the matrix of its factors.

Source: the definitions of complex arithmetic, and those of the transforms in PyTorch's documentation of torch.fft.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mobilevit_deploy.graph.graph import Packet

aten = torch.ops.aten

Matrix = np.ndarray[Any, np.dtype[Any]]


class Pair(NamedTuple):
    """Real and imaginary part, of one shape or, of a number, as numbers."""

    real: Any
    imag: Any


def _pair(x: Any) -> Pair:
    if isinstance(x, Pair):
        return x
    if isinstance(x, complex):
        return Pair(x.real, x.imag)
    return Pair(x, torch.zeros_like(x) if isinstance(x, Tensor) else 0.0)


def _polar(length: Any, angle: Any) -> Pair:
    return Pair(length * torch.cos(angle), length * torch.sin(angle))


def _mul(x: Any, y: Any) -> Pair:
    if not isinstance(y, Pair | complex):
        return Pair(x.real * y, x.imag * y)
    if not isinstance(x, Pair | complex):
        return Pair(x * y.real, x * y.imag)
    return Pair(x.real * y.real - x.imag * y.imag, x.real * y.imag + x.imag * y.real)


def _div(x: Any, y: Any) -> Pair:
    if not isinstance(y, Pair | complex):
        return Pair(x.real / y, x.imag / y)
    size = y.real * y.real + y.imag * y.imag
    return _mul(x, Pair(y.real / size, -y.imag / size))


def _add(x: Any, y: Any, alpha: float = 1) -> Pair:
    x, y = _pair(x), _pair(y)
    return Pair(x.real + y.real * alpha, x.imag + y.imag * alpha)


def _sub(x: Any, y: Any, alpha: float = 1) -> Pair:
    return _add(x, y, -alpha)


def _matmul(x: Any, y: Any) -> Pair:
    if not isinstance(y, Pair):
        return Pair(x.real @ y, x.imag @ y)
    if not isinstance(x, Pair):
        return Pair(x @ y.real, x @ y.imag)
    return Pair(x.real @ y.real - x.imag @ y.imag, x.real @ y.imag + x.imag @ y.real)


def _abs(x: Pair) -> Tensor:
    size: Tensor = (x.real * x.real + x.imag * x.imag).sqrt()
    return size


def _exp(x: Pair) -> Pair:
    return _polar(x.real.exp(), x.imag)


def _conj(x: Pair) -> Pair:
    return Pair(x.real, -x.imag)


def _same(x: Any, *_args: Any, **_settings: Any) -> Pair:
    return _pair(x)


def _r2c(x: Tensor, axes: Sequence[int], normalization: int, onesided: bool) -> Pair:
    """Transforms real values; of the last axis, whose second half mirrors the first, the first half."""
    *others, last = axes
    size = x.shape[last]
    factors = _factors(size, size // 2 + 1 if onesided else size, -1) * _scale(x.shape, axes, normalization)
    result = _halves(_along(x, last, np.concatenate([factors.real, factors.imag], 1)), last)
    return _c2c(result, others, 0, True) if others else result


def _c2c(x: Pair | Tensor, axes: Sequence[int], normalization: int, forward: bool) -> Pair:
    """Transforms complex values along axes, one after the other."""
    pair = _pair(x)
    scale = _scale(pair.real.shape, axes, normalization)
    for axis in axes:
        size = pair.real.shape[axis]
        factors = _factors(size, size, -1 if forward else 1) * scale
        scale = 1.0
        matrix = np.block([[factors.real, factors.imag], [-factors.imag, factors.real]])
        pair = _halves(_along(torch.cat([pair.real, pair.imag], axis), axis, matrix), axis)
    return pair


def _c2r(x: Any, axes: Sequence[int], normalization: int, last_dim_size: int) -> Tensor:
    """Transforms back to real values; what the last axis lacks mirrors what it has."""
    *others, last = axes
    x = _pair(x)
    sizes = list(x.real.shape)
    sizes[last] = last_dim_size
    x = _c2c(x, others, 0, False) if others else x
    kept = last_dim_size // 2 + 1
    factors = _factors(last_dim_size, kept, 1).T * _scale(sizes, axes, normalization)
    mirrored = np.full((kept, 1), 2.0)
    mirrored[0] = 1.0
    if last_dim_size % 2 == 0:
        mirrored[-1] = 1.0
    matrix = np.concatenate([factors.real * mirrored, -factors.imag * mirrored])
    return _along(torch.cat([part.narrow(last, 0, kept) for part in x], last), last, matrix)


def _factors(size: int, kept: int, sign: int) -> Matrix:
    """Returns the powers of the root of unity, (size, kept); angles within one turn lose no digits."""
    turns = np.outer(np.arange(size), np.arange(kept)) % size
    roots: Matrix = np.exp(sign * 2j * np.pi * turns / size)
    return roots


def _scale(shape: Sequence[int], axes: Sequence[int], normalization: int) -> float:
    """Returns what a transform is multiplied by: nothing, by the root of the number of values, or by the number."""
    count = math.prod(shape[axis] for axis in axes)
    return float((1.0, 1 / math.sqrt(count), 1 / count)[normalization])


def _along(x: Tensor, axis: int, matrix: Matrix) -> Tensor:
    """Returns products with a constant matrix along an axis."""
    last = x.dim() - 1
    if axis % x.dim() == last - 1:
        return _constant(matrix.T, x) @ x
    if axis % x.dim() == last:
        return x @ _constant(matrix, x)
    return (x.movedim(axis, -1) @ _constant(matrix, x)).movedim(-1, axis)


def _constant(matrix: Matrix, like: Tensor) -> Tensor:
    constant = torch.from_numpy(np.ascontiguousarray(matrix))  # made outside of the trace, in which it is a weight
    return constant if like.dtype == torch.float64 else constant.to(like.dtype)


def _halves(x: Tensor, axis: int) -> Pair:
    size = x.shape[axis] // 2
    return Pair(x.narrow(axis, 0, size), x.narrow(axis, size, size))


# Linear, and the same for real and imaginary part.
PARTWISE = (
    aten.neg, aten.sum, aten.mean, aten.cumsum, aten.view, aten.reshape, aten.flatten, aten.unflatten, aten.permute,
    aten.transpose, aten.t, aten.movedim, aten.squeeze, aten.unsqueeze, aten.expand, aten.expand_as, aten.repeat,
    aten.slice, aten.select, aten.narrow, aten.index, aten.index_select, aten.gather, aten.cat, aten.stack, aten.flip,
    aten.roll, aten.constant_pad_nd, aten.unbind, aten.split, aten.split_with_sizes, aten.chunk, aten.tril, aten.triu,
)  # fmt: skip

RULES: Mapping[Packet, Callable[..., Any]] = {
    aten.view_as_complex: lambda x: Pair(x.select(-1, 0), x.select(-1, 1)),
    aten.view_as_real: lambda x: torch.stack([x.real, x.imag], -1),
    aten.complex: Pair,
    aten.polar: _polar,
    aten.real: lambda x: x.real,
    aten.imag: lambda x: x.imag,
    aten.abs: _abs,
    aten.angle: lambda x: torch.atan2(x.imag, x.real),
    aten.exp: _exp,
    **dict.fromkeys((aten.conj, aten._conj, aten._conj_physical, aten.conj_physical), _conj),
    aten.mul: _mul,
    aten.div: _div,
    aten.add: _add,
    aten.sub: _sub,
    **dict.fromkeys((aten.matmul, aten.mm, aten.bmm), _matmul),
    **dict.fromkeys(
        (
            aten.to,
            aten._to_copy,
            aten.clone,
            aten.detach,
            aten.contiguous,
            aten.alias,
            aten.resolve_conj,
            aten.lift_fresh,
        ),
        _same,
    ),
    aten._fft_r2c: _r2c,
    aten._fft_c2c: _c2c,
    aten._fft_c2r: _c2r,
}
