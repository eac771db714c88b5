from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph.graph import shape
from mobilevit_deploy.rewrites.layout.move_slices import MoveSlices
from tests.rewrites.conftest import Apply, Of


def tokens_and_image(m: Any, x: Tensor) -> list[Tensor]:
    y = m.layer(x)
    return [y[:, :2].relu(), y[:, 2:].tanh(), y[:, 2:].sigmoid()]


@pytest.mark.parametrize("bias", [True, False])
def test_fires(apply: Apply, bias: bool) -> None:
    result, rewritten = apply(Of(tokens_and_image, layer=nn.Linear(4, 12, bias=bias)), MoveSlices(), 2, 8, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"slice": 2, "linear": 2, "relu": 1, "tanh": 1, "sigmoid": 1}
    assert sorted(rewritten.graph.weights) == ["layer.bias", "layer.weight"][1 - bias :]


def test_rows_that_nothing_reads_are_not_computed(apply: Apply) -> None:
    module = Of(lambda m, x: m.layer(x)[:, 5:7], layer=nn.Linear(4, 12))
    _, rewritten = apply(module, MoveSlices(), 2, 8, 4)
    linear = next(rewritten.graph.calls(torch.ops.aten.linear))
    assert shape(linear) == (2, 2, 12)


@given(st.lists(st.integers(-8, 8), min_size=4, max_size=4), st.integers(0, 2))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_slices_are_proved(apply: Apply, ends: list[int], axis: int) -> None:
    def function(m: Any, x: Tensor) -> list[Tensor]:
        y = m.layer(x)
        return [
            part.tanh()
            for start, end in (ends[:2], ends[2:])
            for part in [y[(*[slice(None)] * axis, slice(start, end))]]
        ]

    result, _ = apply(Of(function, layer=nn.Linear(4, 8)), MoveSlices(), 8, 8, 4)
    assert not any("not proved" in refused.reason for refused in result.refused)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: (lambda y: (y, y[:, 2:]))(m.layer(x)), "read uncut too"),
        (lambda m, x: (lambda y: (y[:, :3], y[:, 2:]))(m.layer(x)), "overlap"),
        (lambda m, x: (lambda y: (y[:, :3], y[:1]))(m.layer(x)), "not along one axis"),
        (lambda m, x: m.layer(x)[..., :3], "not along one axis"),
        (lambda m, x: m.layer(x)[:, ::2], "less than every element"),
        (lambda m, x: m.narrow(x)[:, 2:], "narrows"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    module = Of(function, layer=nn.Linear(4, 12), narrow=nn.Linear(4, 3))
    result, _ = apply(module, MoveSlices(), 2, 8, 4)
    assert result.applied == ()
    assert reason in result.refused[0].reason


class ShiftsTheRows(MoveSlices):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        super().rewrite(graph, node)
        moved = next(graph.calls(torch.ops.aten.slice))
        moved.args = (*moved.args[:2], moved.args[2] + 1, moved.args[3] + 1)


def test_a_wrong_version_is_caught(apply: Apply) -> None:
    result, rewritten = apply(Of(tokens_and_image, layer=nn.Linear(4, 12)), ShiftsTheRows(), 2, 8, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["linear"] == 1
