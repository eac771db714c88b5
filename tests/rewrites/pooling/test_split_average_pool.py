from typing import Any

import pytest
from torch.nn import functional as F

from mobilevit_deploy.rewrites.pooling import split_average_pool
from mobilevit_deploy.rewrites.pooling.split_average_pool import SplitAveragePool
from tests.rewrites.conftest import Apply, Of


@pytest.mark.parametrize(("window", "pools"), [(8, 3), (16, 4)])
@pytest.mark.parametrize("side", [32, 37])
def test_fires(apply: Apply, window: int, pools: int, side: int) -> None:
    result, rewritten = apply(Of(lambda m, x: F.avg_pool2d(x, window)), SplitAveragePool(), 2, 3, side, 32)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"avg_pool2d": pools}


@pytest.mark.parametrize("window", [2, 3, 4])
def test_leaves_small_windows(apply: Apply, window: int) -> None:
    result, rewritten = apply(Of(lambda m, x: F.avg_pool2d(x, window)), SplitAveragePool(), 2, 3, 16, 16)
    assert not result.applied
    assert not result.refused
    assert rewritten.graph.histogram() == {"avg_pool2d": 1}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: F.avg_pool2d(x, 8, stride=4), "overlap"),
        (lambda x: F.avg_pool2d(x, 6), "no square of a power of two"),
        (lambda x: F.avg_pool2d(x, (8, 4)), "no square of a power of two"),
        (lambda x: F.avg_pool2d(x, 8, padding=1), "over the border"),
        (lambda x: F.avg_pool2d(x, 8, ceil_mode=True), "over the border"),
        (lambda x: F.avg_pool2d(x, 8, divisor_override=60), "do not average"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, rewritten = apply(Of(lambda m, x: function(x)), SplitAveragePool(), 2, 3, 20, 20)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram() == {"avg_pool2d": 1}


@pytest.mark.parametrize("function", [lambda x: F.avg_pool2d(x, 8), lambda x: F.avg_pool2d(x, 8, divisor_override=60)])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setattr(split_average_pool, "averages_whole_windows", lambda pool: True)
    monkeypatch.setattr(split_average_pool, "STEP", 4)  # 4 after 4 makes 16
    result, rewritten = apply(Of(lambda m, x: function(x)), SplitAveragePool(), 2, 3, 16, 16)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"avg_pool2d": 1}
