from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.layout.remove_identities import RemoveIdentities
from tests.rewrites.conftest import Apply, Of


def test_fires(apply: Apply) -> None:
    module = Of(
        lambda m, x: m.drop(x.clone() * 2).contiguous() + m.drop2d(x.detach()), drop=nn.Dropout(), drop2d=nn.Dropout2d()
    )
    result, rewritten = apply(module, RemoveIdentities(), 2, 3, 4, 4)
    assert len(result.applied) >= 4
    assert set(rewritten.graph.histogram()) == {"mul", "add"}
    assert result.max_abs_difference == 0


NOTHING = {
    "expand": lambda x: x.expand(2, 3, 4, 4),
    "repeat": lambda x: x.repeat(1, 1, 1, 1),
    "cast": lambda x: x.to(torch.float32),
    "type_as": lambda x: (x + 1).type_as(x),
    "view": lambda x: x.view(2, 3, 4, 4),
    "reshape": lambda x: x.reshape(2, 3, 4, -1),
    "squeeze": lambda x: x.squeeze(1),
    "permute": lambda x: x.permute(0, 1, 2, 3),
    "slice": lambda x: x[:, 0:, :99],
    "mul": lambda x: 1.0 * x,
    "div": lambda x: x / 1,
    "add": lambda x: x + 0,
    "sub": lambda x: x - 0.0,
}


@pytest.mark.parametrize("case", NOTHING)
def test_removes_what_changes_nothing(apply: Apply, case: str) -> None:
    result, rewritten = apply(Of(lambda m, x: NOTHING[case](x.relu()).tanh()), RemoveIdentities(), 2, 3, 4, 4)
    assert result.applied
    assert set(rewritten.graph.histogram()) <= {"relu", "tanh", "add"} - ({case} if case == "add" else set())
    assert result.max_abs_difference == 0


def test_a_permutation_of_unit_axes_changes_nothing(apply: Apply) -> None:
    module = Of(lambda m, x: x.mean(1, keepdim=True).mean(0, keepdim=True).transpose(0, 1).relu())
    result, rewritten = apply(module, RemoveIdentities(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"mean": 2, "relu": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x.sum(-1, keepdim=True).expand_as(x),
        lambda x: x.sum((0, 1), keepdim=True).expand(2, 3, 4, 4) - x,
        lambda x: torch.add(x, x.sum(-1, keepdim=True).expand_as(x), alpha=2),
        lambda x: torch.div(x * 1000, x.sum(-1).sum(-1).sum(-1).sum(-1).expand_as(x), rounding_mode="trunc"),
    ],
)
def test_arithmetic_needs_no_expansion(apply: Apply, function: Any) -> None:
    result, rewritten = apply(Of(lambda m, x: function(x).relu()), RemoveIdentities(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert not {"expand", "expand_as"} & set(rewritten.graph.histogram())
    assert result.max_abs_difference == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (
            x[:, :1].sum(-1, keepdim=True) * x[:, :1, :1].expand(2, 3, 4, 4)
        ),  # it alone makes the result as large
        lambda x: (x > 0) * x.sum().expand_as(x),  # a number would be another kind of operand
    ],
)
def test_an_expansion_that_counts_stays(apply: Apply, function: Any) -> None:
    result, rewritten = apply(Of(lambda m, x: function(x).relu()), RemoveIdentities(), 2, 3, 4, 4)
    assert not result.applied
    assert {"expand", "expand_as"} & set(rewritten.graph.histogram())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, :, ::2],
        lambda x: x[:, 1:],
        lambda x: x.transpose(2, 3),
        lambda x: x.permute(0, 1, 3, 2),
        lambda x: x * 1.5,
        lambda x: x + 1,
        lambda x: x[:1].expand(2, 3, 4, 4),
        lambda x: x.repeat(1, 2, 1, 1),
        lambda x: torch.div(x, 1, rounding_mode="floor"),
        lambda x: x.flatten(2),
        lambda x: torch.sub(1, x),
    ],
)
def test_keeps_what_changes_something(apply: Apply, function: Any) -> None:
    result, rewritten = apply(Of(lambda m, x: function(x).relu()), RemoveIdentities(), 2, 3, 4, 4)
    kept = [op for op in rewritten.graph.histogram() if op not in ("relu", "slice")]
    assert kept or "slice" in rewritten.graph.histogram()
    assert result.max_abs_difference in (None, 0)


def test_refuses_active_dropout(apply: Apply) -> None:
    module = Of(lambda m, x: torch.nn.functional.dropout(x, 0.0, training=True) + 1)
    result, rewritten = apply(module, RemoveIdentities(), 1, 3, 4, 4)
    assert result.applied == ()
    assert "training mode" in result.refused[0].reason
    assert "dropout" in rewritten.graph.histogram()


class DropsAFactor(RemoveIdentities):
    """A wrong version: takes a multiplication for an identity."""

    def candidates(self, graph):  # type: ignore[no-untyped-def]
        return graph.calls(torch.ops.aten.mul)


def test_a_wrong_version_is_caught(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: x * 1.0001), DropsAFactor(), 1, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"mul": 1}
