from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from mobilevit_deploy.graph.axis_movement import Movement
from mobilevit_deploy.rewrites.layout import flatten_windows
from mobilevit_deploy.rewrites.layout.merge_movements import MergeMovements
from tests.rewrites.conftest import Apply, Of
from tests.rewrites.layout.test_flatten_windows import RIGHT_PLAN, chains, partition, reverse, with_heads


def heads_of_windows(x: Tensor) -> Tensor:
    return partition(x).reshape(-1, 49, 2, 6).transpose(1, 2)


FIRES: dict[str, tuple[Any, int]] = {
    "windows, then heads": (lambda x: heads_of_windows(x).relu(), 1),
    "heads in one": (lambda x: with_heads(x).relu(), 1),
    "there and back": (lambda x: reverse(partition(x), 14, 21).relu(), 0),
    "transposed": (lambda x: heads_of_windows(x).mT.relu(), 1),
}


@pytest.mark.parametrize("case", FIRES)
@pytest.mark.parametrize("batch", [1, 2])
def test_fires(apply: Apply, case: str, batch: int) -> None:
    function, permutations = FIRES[case]
    result, rewritten = apply(Of(lambda m, x: function(x)), MergeMovements(), batch, 14, 21, 12)
    if case != "heads in one":
        assert len(result.applied) == 1
    assert rewritten.graph.histogram().get("permute", 0) == permutations
    assert "transpose" not in rewritten.graph.histogram()


@given(chains())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_chain_is_proved(apply: Apply, drawn: tuple[Any, Any]) -> None:
    size, steps = drawn

    def move(_: Any, x: torch.Tensor) -> torch.Tensor:
        x = x + 1
        for kind, values in steps:
            x = x.reshape(values) if kind == "reshape" else x.permute(values)
        return x * 2

    result, _ = apply(Of(move), MergeMovements(), *size)
    assert not any("not proved" in refused.reason for refused in result.refused)


def test_leaves_one_permutation(apply: Apply) -> None:
    result, _ = apply(Of(lambda m, x: partition(x).relu()), MergeMovements(), 1, 14, 21, 12)
    assert not result.applied
    assert not result.refused


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(movement: Movement, highest: int) -> Any:
        order = (movement.order[1], movement.order[0], *movement.order[2:])
        return RIGHT_PLAN(Movement(movement.before, movement.atoms, order, movement.after), highest)

    monkeypatch.setattr(flatten_windows, "plan", wrong)
    result, rewritten = apply(Of(lambda m, x: heads_of_windows(x).relu()), MergeMovements(), 2, 14, 14, 12)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["transpose"] == 1
