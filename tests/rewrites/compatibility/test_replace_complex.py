from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.rewrites.compatibility.definitions import complex_numbers
from mobilevit_deploy.rewrites.compatibility.replace_complex import ReplaceComplex
from tests.rewrites.conftest import Apply, Of

PROPERTY = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def is_real(graph: Graph) -> bool:
    tensors = [node.meta.get("val") for node in graph.nodes]
    return not any(isinstance(tensor, Tensor) and tensor.is_complex() for tensor in tensors)


def rotate(_: nn.Module, x: Tensor) -> Tensor:
    angles = torch.outer(torch.arange(4.0), 1 / 100 ** (torch.arange(3) / 3))
    turns = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], 3, 2).contiguous())
    return torch.view_as_real(pairs * turns[None, None]).flatten(-2)


class Filter(nn.Module):
    """A global filter whose weights are complex in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.view_as_complex(torch.arange(24.0).view(3, 4, 2).sin()))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x, norm="ortho")
        filtered: Tensor = torch.fft.irfft2(spectrum[..., :3, :] * self.get_buffer("filter"), s=(3, 6), norm="ortho")
        return filtered


@pytest.mark.parametrize(
    "module",
    [
        Of(rotate),
        Filter(),
        Of(lambda m, x: (torch.complex(x, x + 1) / torch.complex(x, 2 + x * x)).real),
        Of(lambda m, x: (torch.complex(x, x.flip(1)).conj() * 2j - x).abs()),
        Of(lambda m, x: torch.view_as_real(torch.exp(torch.complex(x, x)) @ torch.complex(x, -x).transpose(-2, -1))),
        Of(lambda m, x: torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)).imag),
    ],
)
def test_fires(apply: Apply, module: nn.Module) -> None:
    result, rewritten = apply(module, ReplaceComplex(), 1, 2, 4, 6)
    assert len(result.applied) >= 1, result.refused
    assert result.refused == ()
    assert is_real(rewritten.graph)


@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 7)),
    axis=st.integers(1, 3),
    norm=st.sampled_from(["backward", "ortho", "forward"]),
    length=st.integers(1, 8),
)
@PROPERTY
def test_transforms(apply: Apply, size: tuple[int, int], axis: int, norm: str, length: int) -> None:
    def run(_: nn.Module, x: Tensor) -> Any:
        half = torch.fft.rfft(x, length, axis, norm)
        whole = torch.fft.ifft(torch.fft.fft(x, None, axis, norm) * x, None, axis, norm)
        return (
            torch.fft.irfft(half * half, length, axis, norm),
            whole.real,
            whole.imag,
            torch.fft.rfftn(x, norm=norm).abs(),
        )

    result, rewritten = apply(Of(run), ReplaceComplex(), 2, 3, *size)
    assert result.refused == ()
    assert is_real(rewritten.graph)


@pytest.mark.parametrize(
    ("function", "reason"),
    [(lambda m, x: torch.complex(x, x).acos().real, "nothing is known of acos")],
)
def test_refuses_with_a_reason(apply: Apply, function: Callable[..., Any], reason: str) -> None:
    result, rewritten = apply(Of(function), ReplaceComplex(), 1, 2, 3, 3)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert not is_real(rewritten.graph)


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = complex_numbers._factors
    monkeypatch.setattr(complex_numbers, "_factors", lambda size, kept, sign: right(size, kept, -sign))
    result, _ = apply(Filter(), ReplaceComplex(), 1, 2, 4, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
