"""Functions of single values, and of pairs of vectors, by simpler ones."""

import math

import torch
from torch import Tensor

from mobilevit_deploy.rewrites.decomposition import definition

aten = torch.ops.aten

Number = int | float


@definition(aten.fmod.Scalar, aten.fmod.Tensor)
def fmod(x: Tensor, divisor: Tensor | Number) -> Tensor:
    """Returns what is left of a division that rounds towards zero, with the sign of ``x``."""
    size = divisor.abs() if isinstance(divisor, Tensor) else abs(divisor)
    return x.sign() * torch.remainder(x.abs(), size)


@definition(aten.floor_divide.default)
def floor_divide(x: Tensor, divisor: Tensor | Number) -> Tensor:
    """Returns the largest whole numbers below ``x``, of a division by 1."""
    if isinstance(divisor, Tensor) or divisor != 1 or not x.is_floating_point():
        raise NotImplementedError("another divisor is a division that is rounded")
    return x.floor()


@definition(aten.clamp_min.default)
def clamp_min(x: Tensor, bound: Number) -> Tensor:
    """Returns what is no less than a bound of the tensor's own kind of numbers."""
    return x.clamp(min=_of_its_kind(bound, x))


@definition(aten.clamp_max.default)
def clamp_max(x: Tensor, bound: Number) -> Tensor:
    """Returns what is no more than that."""
    return x.clamp(max=_of_its_kind(bound, x))


def _of_its_kind(number: Number, x: Tensor) -> Number:
    return float(number) if x.is_floating_point() else number


@definition(aten.expm1.default)
def expm1(x: Tensor) -> Tensor:
    """Returns exp(x) - 1; it keeps 16 digits of 1, where PyTorch's keeps them of the result."""
    return x.exp() - 1


@definition(aten.log1p.default)
def log1p(x: Tensor) -> Tensor:
    """Returns log(1 + x), likewise."""
    return (x + 1).log()


@definition(aten.log2.default)
def log2(x: Tensor) -> Tensor:
    """Returns the logarithm to base 2."""
    return x.log() * (1 / math.log(2))


@definition(aten.log10.default)
def log10(x: Tensor) -> Tensor:
    """Returns the logarithm to base 10."""
    return x.log() * (1 / math.log(10))


@definition(aten.exp2.default)
def exp2(x: Tensor) -> Tensor:
    """Returns the power of 2."""
    return (x * math.log(2)).exp()


@definition(aten.xlogy.Tensor, aten.xlogy.Scalar_Other, aten.xlogy.Scalar_Self)
def xlogy(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """Returns x * log(y), and 0 where x is 0."""
    logarithm = y.log() if isinstance(y, Tensor) else math.log(y)
    if isinstance(x, Tensor):
        return torch.where(x == 0, torch.zeros_like(x), x * logarithm)
    assert isinstance(logarithm, Tensor)  # one of the two is a tensor
    return logarithm * x


@definition(aten.erfc.default, aten.special_erfc.default)
def erfc(x: Tensor) -> Tensor:
    """Returns 1 - erf(x); it keeps 16 digits of 1, where PyTorch's keeps them of the result."""
    return 1 - x.erf()


@definition(aten.signbit.default)
def signbit(x: Tensor) -> Tensor:
    """Tells where values are negative; -0 is not."""
    return x < 0


@definition(aten.copysign.Tensor, aten.copysign.Scalar)
def copysign(x: Tensor, sign: Tensor | Number) -> Tensor:
    """Returns the size of ``x`` with another sign; that of -0 is positive."""
    if not isinstance(sign, Tensor):
        return x.abs() * math.copysign(1, sign)
    return torch.where(sign < 0, -x.abs(), x.abs())


@definition(aten.angle.default)
def angle(x: Tensor) -> Tensor:
    """Returns 0, and pi where real numbers are negative."""
    return torch.where(x < 0, math.pi, torch.zeros_like(x))


@definition(aten.fmax.default)
def fmax(x: Tensor, y: Tensor) -> Tensor:
    """Returns the larger value, and the other one where one is not a number."""
    return torch.maximum(torch.where(x.isnan(), y, x), torch.where(y.isnan(), x, y))


@definition(aten.fmin.default)
def fmin(x: Tensor, y: Tensor) -> Tensor:
    """Returns the smaller value, and the other one where one is not a number."""
    return torch.minimum(torch.where(x.isnan(), y, x), torch.where(y.isnan(), x, y))


@definition(aten.remainder.Scalar_Tensor)
def remainder(x: Number, y: Tensor) -> Tensor:
    """Returns what is left of a number after division, with the sign of the divisor."""
    return torch.remainder(torch.full_like(y, x), y)


@definition(aten.remainder.Scalar)
def remainder_of_number(x: Tensor, divisor: Number) -> Tensor:
    """Returns what is left after division by a number, with its sign."""
    return torch.remainder(x, torch.full((), divisor, dtype=x.dtype))


@definition(aten.trunc.default)
def trunc(x: Tensor) -> Tensor:
    """Returns the integer towards zero."""
    return x.sign() * x.abs().floor()


@definition(aten.atan2.default)
def atan2(y: Tensor, x: Tensor) -> Tensor:
    """Returns the angle of (x, y) in [-pi, pi]."""
    straight = torch.where(x == 0, torch.ones_like(x), x)
    angle = torch.where(x == 0, y.sign() * (math.pi / 2), (y / straight).atan())
    half_turn = torch.where(y < 0, -math.pi, math.pi)
    return torch.where(x < 0, angle + half_turn, angle)


@definition(aten.log_sigmoid.default, aten.log_sigmoid_forward.default)
def log_sigmoid(x: Tensor) -> Tensor:
    """Returns log(1 / (1 + exp(-x))), which overflows nowhere."""
    return x.clamp(max=0) - (1 + (-x.abs()).exp()).log()


@definition(aten.asinh.default)
def asinh(x: Tensor) -> Tensor:
    """Returns the inverse hyperbolic sine; near 0 no digit is lost."""
    square = x * x
    return torch.sign(x) * torch.log1p(x.abs() + square / (1 + torch.sqrt(square + 1)))


@definition(aten.acosh.default)
def acosh(x: Tensor) -> Tensor:
    """Returns the inverse hyperbolic cosine."""
    return torch.log(x + torch.sqrt(x * x - 1))


@definition(aten.hypot.default)
def hypot(x: Tensor, y: Tensor) -> Tensor:
    """Returns the length of (x, y)."""
    return (x * x + y * y).sqrt()


@definition(aten.bilinear.default)
def bilinear(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns first^T W_k second for each of the K matrices: (..., K)."""
    count, rows, columns = weight.shape
    products = first @ weight.permute(1, 0, 2).reshape(rows, count * columns)
    each = products.reshape(*products.shape[:-1], count, columns)
    result = (each * second.unsqueeze(-2)).sum(-1)
    return result if bias is None else result + bias


@definition(aten.cdist.default, aten._cdist_forward.default)
def cdist(first: Tensor, second: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Returns the distances of (..., P, M) to (..., R, M): (..., P, R)."""
    difference = (first.unsqueeze(-2) - second.unsqueeze(-3)).abs()
    if p == math.inf:
        return difference.amax(-1)
    if p == 1:
        return difference.sum(-1)
    if p == 2:
        return (difference * difference).sum(-1).sqrt()
    raise NotImplementedError(f"cdist with p = {p}")


@definition(aten.zeros_like.default)
def zeros_like(x: Tensor, *, dtype: torch.dtype | None = None, **_: object) -> Tensor:
    """Returns zeros of the type that is asked for."""
    return torch.full(x.shape, 0.0, dtype=dtype or x.dtype)
