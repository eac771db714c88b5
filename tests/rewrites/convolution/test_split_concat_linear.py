from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.rewrites.convolution.split_concat_linear import SplitConcatLinear
from tests.rewrites.conftest import Apply, Of


def gated(m: Any, x: torch.Tensor) -> torch.Tensor:
    overall = x.mean(dim=1, keepdim=True)
    y: torch.Tensor = m.layer(torch.cat([x.relu(), overall.expand(-1, x.shape[1], -1)], dim=-1))
    return y


SPELLINGS: dict[str, tuple[Any, dict[str, int]]] = {
    "repeated token": (gated, {"relu": 1, "mean": 1, "linear": 2, "add": 1}),
    "two parts": (
        lambda m, x: m.layer(torch.cat([x.relu(), x.sigmoid()], dim=2)),
        {"relu": 1, "sigmoid": 1, "linear": 2, "add": 1},
    ),
    "only repeated ones": (
        lambda m, x: m.layer(torch.cat([x.mean(1, keepdim=True).expand_as(x), x.amax(1, True).repeat(1, 7, 1)], dim=2)),
        {"mean": 1, "amax": 1, "expand_as": 1, "linear": 2, "add": 1},
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("bias", [True, False])
def test_fires(apply: Apply, spelling: str, bias: bool) -> None:
    function, ops = SPELLINGS[spelling]
    result, rewritten = apply(Of(function, layer=nn.Linear(10, 3, bias=bias)), SplitConcatLinear(), 2, 7, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == ops
    assert len(rewritten.graph.weights) == 2 + bias


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=2, max_size=4), st.integers(1, 3), st.booleans())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_parts_are_proved(apply: Apply, parts: list[tuple[int, bool]], batch: int, bias: bool) -> None:
    def function(m: Any, x: torch.Tensor) -> torch.Tensor:
        pieces = [
            (x[:, :1, :width] + i).expand(-1, 4, -1) if repeated else x[..., :width] * (i + 1)
            for i, (width, repeated) in enumerate(parts)
        ]
        y: torch.Tensor = m.layer(torch.cat(pieces, dim=-1))
        return y

    module = Of(function, layer=nn.Linear(sum(width for width, _ in parts), 2, bias=bias))
    result, rewritten = apply(module, SplitConcatLinear(), batch, 4, 5)
    assert len(result.applied) == 1
    assert "cat" not in rewritten.graph.histogram()


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.layer(torch.cat([torch.zeros(0) + x[0, 0, :0], x], dim=-1)), "of another rank"),
        (lambda m, x: (lambda y: (m.layer(y), y))(torch.cat([x[..., :4], x[..., 4:]], dim=2)), "read elsewhere too"),
        (lambda m, x: m.wide(torch.cat([x[..., :4], x[..., 4:]], dim=2)), "the layer widens"),
        (
            lambda m, x: nn.functional.linear(torch.cat([x, x], dim=2), m.wide.weight.tile(1, 2)[:10] * x.mean()),
            "computed in the graph",
        ),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    module = Of(function, layer=nn.Linear(10, 3), wide=nn.Linear(10, 11))
    result, _ = apply(module, SplitConcatLinear(), 2, 7, 10)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_leaves_a_concatenation_of_tokens(apply: Apply) -> None:
    module = Of(lambda m, x: m.layer(torch.cat([x, x], dim=1)), layer=nn.Linear(10, 3))
    result, _ = apply(module, SplitConcatLinear(), 2, 7, 10)
    assert not result.applied
    assert not result.refused


class DropsTheBias(SplitConcatLinear):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        node.args = node.args[:2]
        super().rewrite(graph, node)


class SwapsTheParts(SplitConcatLinear):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        cat = node.args[0]
        cat.args = (cat.args[0][::-1], *cat.args[1:])
        super().rewrite(graph, node)


@pytest.mark.parametrize("wrong", [DropsTheBias(), SwapsTheParts()])
def test_a_wrong_version_is_caught(apply: Apply, wrong: SplitConcatLinear) -> None:
    result, rewritten = apply(Of(gated, layer=nn.Linear(10, 3)), wrong, 2, 7, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["cat"] == 1
