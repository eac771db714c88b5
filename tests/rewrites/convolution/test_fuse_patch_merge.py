import itertools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilevit_deploy.rewrites.convolution import fuse_patch_merge
from mobilevit_deploy.rewrites.convolution.fuse_patch_merge import FusePatchMerge
from tests.rewrites.conftest import Apply, Of


def parts(x: torch.Tensor) -> list[torch.Tensor]:
    return [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]


SPELLINGS: dict[str, tuple[Any, dict[str, int]]] = {
    "swin": (
        lambda x: torch.cat([x[:, 0::2, 0::2, :], x[:, 1::2, 0::2, :], x[:, 0::2, 1::2, :], x[:, 1::2, 1::2, :]], -1),
        {"reshape": 2, "permute": 1},
    ),
    "rows first": (
        lambda x: torch.cat([x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=-1),
        {"reshape": 2, "permute": 1},
    ),
    "channels first": (
        lambda x: torch.cat([x[..., row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=1),
        {"reshape": 2, "permute": 1},
    ),
    "one axis": (lambda x: torch.cat([x[:, :, i::3] for i in range(3)], dim=1), {"reshape": 2, "permute": 1}),
    "maximum": (lambda x: torch.stack(parts(x)).amax(dim=0), {"reshape": 3, "amax": 2}),
    "stacked last": (lambda x: torch.stack(parts(x), dim=-1).amax(-1), {"reshape": 3, "amax": 2}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    function, ops = SPELLINGS[spelling]
    result, rewritten = apply(Of(lambda m, x: function(x)), FusePatchMerge(), 2, 4, 6, 8)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == ops
    assert max(node.meta["val"].ndim for node in rewritten.graph.nodes if node.op == "call_function") <= 5


@given(st.permutations([1, 2]), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.booleans())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_stride_is_proved(apply: Apply, axes: list[int], down: int, across: int, batch: int, largest: bool) -> None:
    strides = dict(zip(axes, (down, across), strict=True))

    def function(x: torch.Tensor) -> torch.Tensor:
        slices = [
            x[:, dict(zip(axes, at, strict=True))[1] :: strides[1], dict(zip(axes, at, strict=True))[2] :: strides[2]]
            for at in itertools.product(range(down), range(across))
        ]
        return torch.stack(slices).amax(0) if largest else torch.cat(slices, dim=-1)

    result, rewritten = apply(Of(lambda m, x: function(x)), FusePatchMerge(), batch, 6, 6, 5)
    assert result.refused == ()
    assert bool(result.applied) == (down * across > 1)
    if result.applied:
        assert not {"slice", "cat", "stack"} & set(rewritten.graph.histogram())


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.cat([x[:, ::2], x[:, ::2]], dim=-1), "every element once"),
        (lambda x: torch.cat([x[:, ::2], (x + 1)[:, 1::2]], dim=-1), "not slices of one tensor"),
        (lambda x: torch.cat([x[:, 1::2], x[:, ::2]], dim=-1), "in an order that"),
        (lambda x: torch.cat([x[:, ::2], x[:, 1::2]], dim=1), "along an axis that they cut"),
        (lambda x: torch.cat([x[:, :2:2], x[:, 1:3:2]], dim=-1), "less than every s-th element"),
        (lambda x: torch.stack(parts(x)).amax(dim=1), "not over the slices alone"),
        (
            lambda x: torch.cat(parts(x), dim=-1).relu().sum() + torch.cat([x[:, ::2]], 1).amax(1).sum(),
            "not over stack",
        ),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, _ = apply(Of(lambda m, x: function(x)), FusePatchMerge(), 2, 4, 6, 8)
    assert any(reason in refused.reason for refused in result.refused), result.refused


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse_patch_merge, "_nesting", lambda found: (1, 2))  # rows slowest, and not columns
    result, rewritten = apply(Of(lambda m, x: torch.cat(parts(x), dim=-1)), FusePatchMerge(), 2, 4, 6, 8)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["cat"] == 1
