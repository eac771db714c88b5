from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.attention import sort_tokens
from mobilevit_deploy.rewrites.attention.sort_tokens import SortTokens
from mobilevit_deploy.rewrites.layout.merge_movements import MergeMovements
from mobilevit_deploy.rewrites.rewrite import rewrite_graph
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of, randomise

HEADS = 2


def windows(x: Tensor, side: int, rows: int, columns: int) -> Tensor:
    """(B, rows * columns, C) to (B * windows, heads, side^2, d)."""
    batch, _, channels = x.shape
    x = x.reshape(batch, rows // side, side, columns // side, side, channels).transpose(2, 3)
    x = x.reshape(-1, side * side, HEADS, channels // HEADS)
    return x.permute(0, 2, 1, 3)


def window_attention(m: Any, x: Tensor, side: int = 3, rows: int = 6, columns: int = 9) -> Tensor:
    q, k, v = (windows(layer(x), side, rows, columns) for layer in (m.q, m.k, m.v))
    mixed: Tensor = (q @ k.transpose(-2, -1)).softmax(-1) @ v
    return mixed


def with_another_reader(m: Any, x: Tensor) -> list[Tensor]:
    return [window_attention(m, x), m.q(x).relu()]


def net(function: Any) -> Of:
    return Of(function, **{name: nn.Linear(6, 8) for name in "qkv"})


@pytest.mark.parametrize("batch", [1, 2])
def test_fires(batch: int) -> None:
    """One permutation of the tokens, and one for each operand, which moves the first axis and nothing else."""
    module = net(window_attention)
    randomise(module)
    graph = capture_model(module, batch, 54, 6).graph
    rewritten = rewrite_graph(graph, [SortTokens(), MergeMovements()], torch.randn(batch, 54, 6))
    assert len(rewritten.results[0].applied) == 1
    permutations = [arguments(node)["dims"] for node in rewritten.graph.calls(torch.ops.aten.permute)]
    assert permutations == [[1, 3, 0, 2, 4], [1, 2, 0, 3], [1, 2, 0, 3], [1, 2, 3, 0]]


def test_other_readers_get_the_old_order(apply: Apply) -> None:
    result, rewritten = apply(net(with_another_reader), SortTokens(), 1, 54, 6)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["linear"] == 4


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.permutations("qkv"))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_windows_are_proved(apply: Apply, batch: int, side: int, down: int, across: int, order: list[str]) -> None:
    rows, columns = down * side, across * side

    def function(m: Any, x: Tensor) -> Tensor:
        parts = {name: windows(getattr(m, name)(x), side, rows, columns) for name in order}
        mixed: Tensor = (parts["q"] @ parts["k"].mT).softmax(-1) @ parts["v"]
        return mixed

    result, _ = apply(net(function), SortTokens(), batch, rows * columns, 6)
    assert result.refused == ()
    assert bool(result.applied) == (side > 1 and across > 1)  # windows in one column are a row of rows


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.q(x).reshape(2, 54, 2, 4).transpose(1, 2) @ m.k(x).reshape(2, 54, 2, 4).permute(0, 2, 3, 1),
        lambda m, x: windows(m.q(x), 3, 6, 9) @ windows(x, 3, 6, 9).mT,
        lambda m, x: windows(m.q(x), 3, 6, 9) + windows(m.k(x), 3, 6, 9),
        lambda m, x: windows(m.q(x), 3, 6, 9) @ windows(m.k(x + 1), 3, 6, 9).mT,
        lambda m, x: windows(m.q(x), 3, 6, 9) @ windows(m.k(x), 3, 18, 3).mT,
    ],
)
def test_leaves_what_has_one_layer_or_no_windows(apply: Apply, function: Any) -> None:
    module = Of(function, **{name: nn.Linear(8, 8) for name in "qkv"})
    result, rewritten = apply(module, SortTokens(), 2, 54, 8)
    assert not result.applied
    assert not result.refused
    assert rewritten.graph.histogram()["linear"] <= 2


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = sort_tokens._permute_rows

    def forgets_the_way_back(graph: Any, x: Any, sizes: Any, order: Any) -> Any:
        return right(graph, x, sizes, order if x.op == "placeholder" else tuple(range(len(order))))

    monkeypatch.setattr(sort_tokens, "_permute_rows", forgets_the_way_back)
    result, rewritten = apply(net(with_another_reader), SortTokens(), 1, 54, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["linear"] == 4
