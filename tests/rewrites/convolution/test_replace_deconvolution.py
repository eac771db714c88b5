from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.rewrites.convolution import replace_deconvolution
from mobilevit_deploy.rewrites.convolution.replace_deconvolution import ReplaceDeconvolution
from tests.rewrites.conftest import Apply, Of

SPELLINGS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "kernel = stride": ({"kernel_size": 2, "stride": 2}, {"conv2d", "pixel_shuffle"}),
    "depthwise": ({"kernel_size": 4, "stride": 4, "groups": 4}, {"conv2d", "pixel_shuffle"}),
    "same size": ({"kernel_size": 3, "padding": 1}, {"conv2d"}),
    "dilated": ({"kernel_size": 3, "padding": 2, "dilation": 2}, {"conv2d"}),
    "doubling": ({"kernel_size": 4, "stride": 2, "padding": 1}, {"conv2d", "pixel_shuffle", "slice"}),
    "one axis": ({"kernel_size": (2, 1), "stride": (2, 1)}, {"conv2d", "reshape", "permute"}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("bias", [True, False])
def test_fires(apply: Apply, spelling: str, bias: bool) -> None:
    options, ops = SPELLINGS[spelling]
    module = Of(lambda m, x: m.up(x), up=nn.ConvTranspose2d(4, 8, bias=bias, **options))
    result, rewritten = apply(module, ReplaceDeconvolution(), 2, 4, 5, 6)
    assert len(result.applied) == 1
    assert set(rewritten.graph.histogram()) == ops
    assert max(node.meta["val"].ndim for node in rewritten.graph.calls(*_packets(ops))) <= 5
    if spelling == "dilated":
        assert rewritten.graph.weights["up.weight_2"].shape == (8, 4, 3, 3), "without the dilation's zeros"


def _packets(ops: set[str]) -> list[Any]:
    return [getattr(torch.ops.aten, name) for name in ops]


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> tuple[nn.ConvTranspose2d, tuple[int, int, int, int]]:
    kernel, stride, dilation = draw(pairs(1, 5)), draw(pairs(1, 4)), draw(pairs(1, 3))
    padding = tuple(draw(st.integers(0, k)) for k in kernel)
    added = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    groups, parts = draw(st.integers(1, 3)), draw(pairs(1, 3))
    size = draw(pairs(1, 6))
    sizes = zip(size, kernel, stride, padding, dilation, added, strict=True)
    assume(all((n - 1) * s - 2 * p + d * (k - 1) + o + 1 > 0 for n, k, s, p, d, o in sizes))
    module = nn.ConvTranspose2d(
        groups * parts[0],
        groups * parts[1],
        kernel,
        stride=stride,
        padding=padding,  # type: ignore[arg-type]  # a pair
        output_padding=added,  # type: ignore[arg-type]  # a pair
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return module, (draw(st.integers(1, 2)), groups * parts[0], *size)


@given(transposed_convolutions())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_setting_is_proved(apply: Apply, drawn: tuple[nn.ConvTranspose2d, tuple[int, int, int, int]]) -> None:
    module, size = drawn
    result, rewritten = apply(module, ReplaceDeconvolution(), *size)
    assert result.refused == ()
    assert len(result.applied) == 1
    assert "conv_transpose2d" not in rewritten.graph.histogram()


@pytest.mark.parametrize(
    ("function", "shape", "reason"),
    [
        (lambda m, x: m.up(x), (4, 5, 6), "no batch of maps"),
        (lambda m, x: torch.conv_transpose2d(x, m.up.weight * x.mean()), (1, 4, 5, 6), "computed in the graph"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, shape: Any, reason: str) -> None:
    result, _ = apply(Of(function, up=nn.ConvTranspose2d(4, 8, 2)), ReplaceDeconvolution(), *shape)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def _not_flipped(weight: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    return RIGHT_WEIGHT(weight, *rest, **options).flip(2, 3)


def _transposed(weight: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    return RIGHT_WEIGHT(weight.mT, *rest, **options)


def _phases_of_all_channels_first(weight: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    right: torch.Tensor = RIGHT_WEIGHT(weight, *rest, **options)
    return right.reshape(-1, 4, *right.shape[1:]).transpose(0, 1).flatten(0, 1)


RIGHT_WEIGHT = replace_deconvolution._sub_pixel_weight


@pytest.mark.parametrize("wrong", [_not_flipped, _transposed, _phases_of_all_channels_first])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(replace_deconvolution, "_sub_pixel_weight", wrong)
    module = Of(lambda m, x: m.up(x), up=nn.ConvTranspose2d(4, 8, 4, stride=2, padding=1))
    result, rewritten = apply(module, ReplaceDeconvolution(), 2, 4, 5, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"conv_transpose2d": 1}
