from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilevit_deploy.rewrites.pooling.replace_token_mean import ReplaceTokenMean
from tests.rewrites.conftest import Apply, Of

FIRES: dict[str, Any] = {
    "kept axis": lambda x: x.mean(dim=1, keepdim=True),
    "dropped axis": lambda x: x.mean(dim=-2),
    "two axes": lambda x: x[0].mean(dim=0),
    "a sum": lambda x: x.sum(dim=1),
    "a sum with its axis": lambda x: x.sum(dim=-2, keepdim=True),
}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    result, rewritten = apply(Of(lambda m, x: FIRES[case](x).relu()), ReplaceTokenMean(), 2, 7, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["matmul"] == 1
    assert not {"mean", "sum"} & rewritten.graph.histogram().keys()


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 6), st.booleans(), st.sampled_from(["mean", "sum"]))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_shape_is_proved(apply: Apply, batch: int, tokens: int, channels: int, keep: bool, kind: str) -> None:
    module = Of(lambda m, x: getattr(x, kind)(dim=1, keepdim=keep) * 2)
    result, _ = apply(module, ReplaceTokenMean(), batch, tokens, channels)
    assert len(result.applied) == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean(dim=-1),
        lambda x: x.mean(dim=(1, 2)),
        lambda x: x.mean(),
        lambda x: x[:, None].mean(dim=2),
        lambda x: x.mean(dim=0),
    ],
)
def test_leaves_other_means(apply: Apply, function: Any) -> None:
    result, rewritten = apply(Of(lambda m, x: function(x)), ReplaceTokenMean(), 2, 7, 5)
    assert not result.applied
    assert not result.refused
    assert rewritten.graph.histogram()["mean"] == 1


def test_refuses_another_dtype(apply: Apply) -> None:
    module = Of(lambda m, x: x.mean(dim=1, dtype=torch.float16).float())
    result, _ = apply(module, ReplaceTokenMean(), 2, 7, 5)
    assert result.applied == ()
    assert "changes the dtype" in result.refused[0].reason


class Sums(ReplaceTokenMean):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        super().rewrite(graph, node)
        graph.weights = {name: torch.ones_like(value) for name, value in graph.weights.items()}


def test_whole_numbers_are_left(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: (x > 0).long().sum(dim=1).float()), ReplaceTokenMean(), 2, 7, 5)
    assert result.applied == ()
    assert "whole numbers" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: x.mean(dim=1) * 2), Sums(), 2, 7, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["mean"] == 1
