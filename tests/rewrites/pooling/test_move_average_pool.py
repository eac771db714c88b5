from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mobilevit_deploy.rewrites.pooling.move_average_pool import MoveAveragePool
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of, randomise


@pytest.mark.parametrize(
    "options", [{"bias": True}, {"bias": False}, {"groups": 2}, {"dilation": 2}], ids=["bias", "no bias", "groups", "d"]
)
def test_fires(apply: Apply, options: Any) -> None:
    module = nn.Sequential(nn.Conv2d(4, 6, 1, **options), nn.AvgPool2d(4))
    result, rewritten = apply(module, MoveAveragePool(), 2, 4, 8, 8)
    assert len(result.applied) == 1
    assert list(rewritten.graph.histogram()) == ["avg_pool2d", "conv2d"]  # in this order


REFUSES = {
    "read unpooled": (lambda m, x: (lambda y: (y, F.avg_pool2d(y, 2)))(m.conv(x)), {}, "read unpooled"),
    "padded pool": (lambda m, x: F.avg_pool2d(m.conv(x), 2, padding=1), {}, "over the border"),
    "ceiling": (lambda m, x: F.avg_pool2d(m.conv(x), 3, ceil_mode=True), {}, "over the border"),
    "divisor": (lambda m, x: F.avg_pool2d(m.conv(x), 2, divisor_override=3), {}, "do not average"),
    "stride": (lambda m, x: F.avg_pool2d(m.conv(x), 2), {"stride": 2}, "not 1x1"),
    "padding": (lambda m, x: F.avg_pool2d(m.conv(x), 2), {"padding": 1}, "not 1x1"),
    "kernel": (lambda m, x: F.avg_pool2d(m.conv(x), 2), {"kernel_size": 3}, "not 1x1"),
    "dearer": (lambda m, x: F.avg_pool2d(m.conv(x), 5, stride=1), {"out_channels": 1}, "cost more"),
}


@pytest.mark.parametrize("case", REFUSES)
def test_refuses_with_a_reason(apply: Apply, case: str) -> None:
    function, options, reason = REFUSES[case]
    sizes: dict[str, Any] = {"in_channels": 4, "out_channels": 6, "kernel_size": 1, **options}
    result, rewritten = apply(Of(function, conv=nn.Conv2d(**sizes)), MoveAveragePool(), 2, 4, 8, 8)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert list(rewritten.graph.histogram()) == ["conv2d", "avg_pool2d"]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(1, 4), st.integers(7, 9), st.booleans(), st.booleans())
def test_any_pool(window: int, stride: int, side: int, ceiling: bool, bias: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1, bias=bias), nn.AvgPool2d(window, stride, ceil_mode=ceiling))
    randomise(module)
    captured = capture_model(module, 1, 3, side, 8)
    result = rewrite_graph(captured.graph, [MoveAveragePool()], torch.randn(1, 3, side, 8)).results[0]
    assert bool(result.applied) != bool(result.refused)
    assert all("not proved" not in refused.reason for refused in result.refused)


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobilevit_deploy.rewrites.pooling.move_average_pool.averages_whole_windows", lambda pool: True)
    function, _, _ = REFUSES["padded pool"]
    result, rewritten = apply(Of(function, conv=nn.Conv2d(4, 6, 1)), MoveAveragePool(), 2, 4, 8, 8)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert list(rewritten.graph.histogram()) == ["conv2d", "avg_pool2d"]
