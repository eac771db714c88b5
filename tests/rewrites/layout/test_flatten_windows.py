import math
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mobilevit_deploy.graph.axis_movement import MAX_RANK, plan
from mobilevit_deploy.graph.graph import shape
from mobilevit_deploy.rewrites.layout import flatten_windows
from mobilevit_deploy.rewrites.layout.flatten_windows import FlattenWindows
from mobilevit_deploy.rewrites.rewrite import Rewritten
from tests.rewrites.conftest import Apply, Of


def partition(x: torch.Tensor) -> torch.Tensor:
    batch, height, width, channels = x.shape
    x = x.view(batch, height // 7, 7, width // 7, 7, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 49, channels)


def reverse(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    x = windows.reshape(-1, height // 7, width // 7, 7, 7, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], height, width, -1)


def with_heads(x: torch.Tensor) -> torch.Tensor:
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 7, 7, width // 7, 7, 3, 2, channels // 6)
    return x.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(3, -1, 2, 49, channels // 6)


def by_transpose(x: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = x.unflatten(1, (-1, 7)).unflatten(3, (-1, 7))  # type: ignore[no-untyped-call]
    return y.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def largest_rank(rewritten: Rewritten) -> int:
    return max(len(shape(node)) for node in rewritten.graph.nodes if node.op == "call_function")


SPELLINGS: dict[str, tuple[Any, int]] = {
    "partition": (lambda x: partition(x).relu(), 1),
    "there and back": (lambda x: reverse(partition(x).relu(), 14, 21), 2),
    "nothing between": (lambda x: reverse(partition(x), 14, 21).relu(), 0),
    "heads": (lambda x: with_heads(x).relu(), 2),
    "transposed": (lambda x: by_transpose(x).relu(), 1),
    "twice": (lambda x: x.permute(0, 3, 1, 2).flatten(2).transpose(1, 2).relu(), 0),
    "two readers of six axes": (
        lambda x: (lambda y: y.transpose(2, 3).flatten(0, 2) + y.transpose(2, 3).flatten(0, 2).relu())(
            x.view(x.shape[0], 2, 7, 3, 7, 12)
        ),
        2,
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("batch", [1, 2])
def test_fires(apply: Apply, spelling: str, batch: int) -> None:
    function, permutations = SPELLINGS[spelling]
    result, rewritten = apply(Of(lambda m, x: function(x)), FlattenWindows(), batch, 14, 21, 12)
    assert result.applied
    assert result.refused == ()
    histogram = rewritten.graph.histogram()
    assert histogram.get("permute", 0) == permutations
    assert "transpose" not in histogram
    assert largest_rank(rewritten) <= MAX_RANK


def test_leaves_what_is_short_already(apply: Apply) -> None:
    module = Of(lambda m, x: x.flatten(2).transpose(1, 2).relu() @ x.mT.reshape(1, 12, -1).relu())
    result, rewritten = apply(module, FlattenWindows(), 1, 12, 6, 6)
    assert not result.applied
    assert not result.refused
    assert rewritten.graph.histogram()["transpose"] == 1


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[str, tuple[int, ...]]]]:
    """A shape of four axes, and reshapes (finer, coarser) and permutations in turn."""
    size = tuple(draw(st.lists(st.sampled_from([1, 2, 4, 6]), min_size=4, max_size=4)))
    current, steps = size, []
    for _ in range(draw(st.integers(1, 2))):
        factors = [draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0])) for n in current]
        parts = tuple(x for n, d in zip(current, factors, strict=True) for x in ((n // d, d) if d > 1 else (n,)))
        order = tuple(draw(st.permutations(range(len(parts)))))
        permuted = tuple(parts[i] for i in order)
        ends = [0, *sorted(draw(st.lists(st.integers(0, len(parts)), max_size=3))), len(parts)]
        current = tuple(math.prod(permuted[a:b]) for a, b in zip(ends, ends[1:], strict=False))  # noqa: RUF007
        steps += [("reshape", parts), ("permute", order), ("reshape", current)]
    return size, steps


@given(chains())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_chain_is_proved(apply: Apply, drawn: tuple[Any, Any]) -> None:
    size, steps = drawn
    assume(math.prod(size) > 1)

    def move(_: Any, x: torch.Tensor) -> torch.Tensor:
        x = x + 1
        for kind, values in steps:
            x = x.reshape(values) if kind == "reshape" else x.permute(values)
        return x * 2

    result, rewritten = apply(Of(move), FlattenWindows(), *size)
    assert not any("not proved" in refused.reason for refused in result.refused)
    if not result.refused:
        assert largest_rank(rewritten) <= MAX_RANK


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x.view(2, 2, 7, 3, 7, 12).transpose(2, 3).relu().sum(), "6 axes is read by relu"),
        (lambda x: x.view(2, 2, 7, 3, 7, 12).transpose(2, 3), "read by the output"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, _ = apply(Of(lambda m, x: function(x)), FlattenWindows(), 2, 14, 21, 12)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_refuses_what_two_permutations_do_not_reach(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten_windows, "plan", lambda movement, _: RIGHT_PLAN(movement, 2))
    result, _ = apply(Of(lambda m, x: partition(x).relu()), FlattenWindows(), 2, 14, 21, 12)
    assert result.applied == ()
    assert "do not reach (12, 49, 12) from (2, 14, 21, 12)" in result.refused[0].reason


def test_a_reshape_across_the_axes_parts_the_chain(apply: Apply) -> None:
    module = Of(lambda m, x: partition(x).reshape(3, -1, 8).transpose(1, 2).relu())
    result, rewritten = apply(module, FlattenWindows(), 1, 14, 21, 12)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["permute"] == 2


def _wrong_order(movement: Any, _: int) -> Any:
    order = movement.order
    return RIGHT_PLAN(type(movement)(movement.before, movement.atoms, (order[1], order[0], *order[2:]), movement.after))


def _no_permutation(movement: Any, _: int) -> Any:
    return RIGHT_PLAN(type(movement)(movement.before, movement.atoms, tuple(sorted(movement.order)), movement.after))


RIGHT_PLAN = plan


@pytest.mark.parametrize("wrong", [_wrong_order, _no_permutation])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(flatten_windows, "plan", wrong)
    module: nn.Module = Of(lambda m, x: partition(x).relu())
    result, rewritten = apply(module, FlattenWindows(), 2, 14, 14, 12)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["permute"] == 1
