from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.rewrites.layout import replace_roll
from mobilevit_deploy.rewrites.layout.replace_roll import ReplaceRoll
from tests.rewrites.conftest import Apply, Of


@given(shifts=st.lists(st.integers(-12, 12), min_size=1, max_size=3), data=st.data())
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_fires(apply: Apply, shifts: list[int], data: Any) -> None:
    axes = data.draw(st.lists(st.integers(-4, 3), min_size=len(shifts), max_size=len(shifts)))
    result, rewritten = apply(Of(lambda m, x: torch.roll(x, shifts, axes) + x), ReplaceRoll(), 2, 3, 5, 7)
    assert len(result.applied) == 1
    moved = sum(shift % (2, 3, 5, 7)[axis] != 0 for shift, axis in zip(shifts, axes, strict=True))
    expected = {"slice": 2 * moved, "cat": moved, "add": 1}
    assert rewritten.graph.histogram() == {op: count for op, count in expected.items() if count}


def test_refuses_with_a_reason(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: torch.roll(x, 3)), ReplaceRoll(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "flattened" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = replace_roll._roll

    def other_way(graph: Graph, x: Node, shift: int, axis: int, like: Node) -> Node:
        return right(graph, x, -shift, axis, like)

    monkeypatch.setattr(replace_roll, "_roll", other_way)
    result, _ = apply(Of(lambda m, x: torch.roll(x, (1, -2), (2, 3))), ReplaceRoll(), 2, 3, 5, 7)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
