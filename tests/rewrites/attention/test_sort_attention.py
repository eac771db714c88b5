from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobilevit_deploy.graph.axis_movement import axes_of, follow
from mobilevit_deploy.graph.graph import Graph, shape
from mobilevit_deploy.graph.movement_chains import chain_above
from mobilevit_deploy.rewrites.attention import sort_attention
from mobilevit_deploy.rewrites.attention.sort_attention import SortAttention
from tests.rewrites.conftest import Apply, Of

SIZES = (2, 3, 4)  # a row of 24 tokens, cut into three axes


def mixed_up(x: Tensor, axes: list[int]) -> Tensor:
    """Permutes the tokens of (B, N, C) and splits heads: (B, 2, N, C / 2)."""
    batch, tokens, channels = x.shape
    x = x.reshape(batch, *SIZES, channels).permute(0, *(1 + axis for axis in axes), 4)
    return x.reshape(batch, tokens, 2, channels // 2).transpose(1, 2)


def parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x.relu(), x.tanh(), x.sigmoid()


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = (q @ k.mT * 0.5).softmax(-1) @ v
    return mixed.transpose(1, 2).flatten(2)


def keys(_: Any, x: Tensor) -> Tensor:
    q, k, v = parts(x)
    return attention(mixed_up(q, [0, 1, 2]), mixed_up(k, [2, 0, 1]), mixed_up(v, [2, 0, 1])).exp()


def queries(_: Any, x: Tensor) -> Tensor:
    q, k, v = parts(x)
    return attention(mixed_up(q, [2, 1, 0]), mixed_up(k, [0, 1, 2]), mixed_up(v, [0, 1, 2])).exp()


def both(_: Any, x: Tensor) -> Tensor:
    q, k, v = parts(x)
    return attention(mixed_up(q, [2, 1, 0]), mixed_up(k, [1, 0, 2]), mixed_up(v, [1, 0, 2])).exp()


def sorted_operands(graph: Graph) -> list[bool]:
    """Tells for each operand of a product that is rearranged whether its tokens are in the order of memory."""
    found = []
    for product in graph.calls(torch.ops.aten.matmul):
        for operand in product.all_input_nodes:
            first, steps = chain_above(operand)
            if steps:
                tokens = axes_of(follow(shape(first), steps))[shape(operand).index(24)]
                found.append(list(tokens) == sorted(tokens))
    return found


@pytest.mark.parametrize("function", [keys, queries, both])
@pytest.mark.parametrize("batch", [1, 2])
def test_fires(apply: Apply, function: Any, batch: int) -> None:
    result, rewritten = apply(Of(function), SortAttention(), batch, 24, 6)
    assert len(result.applied) == 1
    assert sorted_operands(rewritten.graph) == [True, True, True]


ORDERS = st.permutations(range(3))


@given(ORDERS, ORDERS, ORDERS, st.integers(1, 2))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_orders_are_proved(apply: Apply, q: list[int], k: list[int], v: list[int], batch: int) -> None:
    def function(_: Any, x: Tensor) -> Tensor:
        a, b, c = parts(x)
        return attention(mixed_up(a, q), mixed_up(b, k), mixed_up(c, v)).exp()

    result, _ = apply(Of(function), SortAttention(), batch, 24, 6)
    assert result.refused == ()
    assert bool(result.applied) == (q != [0, 1, 2] or (k == v and k != [0, 1, 2]))


def masked(_: Any, x: Tensor) -> Tensor:
    q, k, v = (mixed_up(part, [2, 1, 0]) for part in parts(x))
    return (q @ k.mT + x[:, None, :, :1]).softmax(-1) @ v


def read_twice(_: Any, x: Tensor) -> list[Tensor]:
    q, k, v = (mixed_up(part, [2, 1, 0]) for part in parts(x))
    weights = (q @ k.mT).softmax(-1)
    return [weights @ v, weights]


def over_queries(_: Any, x: Tensor) -> Tensor:
    q, k, v = (mixed_up(part, [2, 1, 0]) for part in parts(x))
    return (q @ k.mT).softmax(-2) @ v


def other_orders(_: Any, x: Tensor) -> Tensor:
    q, k, v = parts(x)
    return attention(mixed_up(q, [0, 1, 2]), mixed_up(k, [2, 1, 0]), mixed_up(v, [1, 0, 2]))


def read_at_once(_: Any, x: Tensor) -> Tensor:
    q, k, v = parts(x)
    weights = (mixed_up(q, [2, 1, 0]) @ mixed_up(k, [0, 1, 2]).mT).softmax(-1)
    return (weights @ mixed_up(v, [0, 1, 2])).exp()


@pytest.mark.parametrize("function", [masked, read_twice, over_queries, other_orders, read_at_once])
def test_leaves_what_depends_on_the_order(apply: Apply, function: Any) -> None:
    result, rewritten = apply(Of(function), SortAttention(), 2, 24, 6)
    assert not result.applied
    assert not result.refused
    assert not all(sorted_operands(rewritten.graph))


def _values_alone(graph: Any, operand: Any, axis: int) -> None:
    if axis == len(shape(operand.node)) - 2:
        RIGHT_SORT(graph, operand, axis)


def _not_restored(graph: Any, node: Any, sizes: Any, order: Any) -> None:
    pass


RIGHT_SORT = sort_attention._sort


@pytest.mark.parametrize(("part", "wrong"), [("_sort", _values_alone), ("_restore", _not_restored)])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, part: str, wrong: Any) -> None:
    monkeypatch.setattr(sort_attention, part, wrong)
    result, rewritten = apply(Of(both), SortAttention(), 2, 24, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert sorted_operands(rewritten.graph) == [False, False, False]
