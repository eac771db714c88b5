from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.rewrites.compatibility import replace_max_pool3d
from mobilevit_deploy.rewrites.compatibility.replace_max_pool3d import ReplaceMaxPool3d
from tests.rewrites.conftest import Apply, Of

# Maps with channels last, (B, H, W, C), as research code halves them without a permutation.
SPELLINGS: dict[str, tuple[Any, dict[str, int]]] = {
    "channels last": (nn.MaxPool3d((2, 2, 1), stride=(2, 2, 1)), {"permute": 2, "max_pool2d": 1}),
    "stride left out": (nn.MaxPool3d((2, 2, 1)), {"permute": 2, "max_pool2d": 1}),
    "channels first": (nn.MaxPool3d((1, 2, 2)), {"max_pool2d": 1}),
    "batched": (
        Of(lambda m, x: F.max_pool3d(x.unsqueeze(1), (2, 2, 1)).squeeze(1)),
        {"unsqueeze": 1, "reshape": 2, "permute": 2, "max_pool2d": 1, "squeeze": 1},
    ),
    "middle": (nn.MaxPool3d((2, 1, 3)), {"permute": 2, "max_pool2d": 1}),
    "cube": (nn.MaxPool3d(2), {"max_pool2d": 2, "reshape": 2}),
    "unread indices": (
        Of(lambda m, x: F.max_pool3d_with_indices(x, [2, 2, 1])[0]),
        {"permute": 2, "max_pool2d": 1},
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    module, ops = SPELLINGS[spelling]
    result, rewritten = apply(module, ReplaceMaxPool3d(), 2, 4, 6, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == ops
    for node in rewritten.graph.calls(torch.ops.aten.max_pool2d):
        assert node.meta["val"].ndim == 4


@given(st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_setting_is_proved(apply: Apply, data: st.DataObject) -> None:
    def triple(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.integers(low, high)) for _ in range(3))

    kernel, stride, dilation = triple(1, 3), triple(1, 3), triple(1, 2)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = triple(1, 7)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(n + 2 * p >= e for n, p, e in zip(size, padding, extents, strict=True)))
    pool = nn.MaxPool3d(kernel, stride, padding, dilation, ceil_mode=data.draw(st.booleans()))
    leading = data.draw(st.sampled_from([(1,), (3,), (1, 2), (2, 3)]))
    assume(pool(torch.zeros(*leading, *size)).isfinite().all())  # no window lies in the padding alone
    result, rewritten = apply(pool, ReplaceMaxPool3d(), *leading, *size)
    assert len(result.applied) == 1
    assert "max_pool3d" not in rewritten.graph.histogram()


@pytest.mark.parametrize("function", [lambda x: x, lambda x: x[1]])
def test_refuses_with_a_reason(apply: Apply, function: Any) -> None:
    module = Of(lambda m, x: function(F.max_pool3d_with_indices(x, [2, 2, 1])))
    result, _ = apply(module, ReplaceMaxPool3d(), 2, 4, 6, 5)
    assert result.applied == ()
    assert "indices of the maxima are read" in result.refused[0].reason


def _another_axis(graph: Any, y: Any, still: int, axes: Any, ceil: bool, like: Any) -> Any:
    turned = RIGHT_POOL(graph, y, still, [axes[1], axes[0], axes[2]], ceil, like)
    return turned


def _not_turned_back(graph: Any, y: Any, still: int, axes: Any, ceil: bool, like: Any) -> Any:
    return RIGHT_POOL(graph, y, still, axes, ceil, like).args[0]


RIGHT_POOL = replace_max_pool3d._pool_beside


@pytest.mark.parametrize("wrong", [_another_axis, _not_turned_back])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(replace_max_pool3d, "_pool_beside", wrong)
    module = nn.MaxPool3d((2, 3, 1), stride=(2, 2, 1), padding=(0, 1, 0))
    result, rewritten = apply(module, ReplaceMaxPool3d(), 2, 6, 6, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"max_pool3d": 1}
