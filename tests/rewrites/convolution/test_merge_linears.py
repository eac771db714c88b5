from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.convolution import merge_linears
from mobilevit_deploy.rewrites.convolution.merge_linears import MergeLinears
from tests.rewrites.conftest import Apply, Of


def heads(function: Any, **options: Any) -> Of:
    return Of(function, a=nn.Linear(5, 7), b=nn.Linear(5, 7, **options))


SPELLINGS = {
    "halved": lambda m, x: (m.a(x) + m.b(x)) / 2,
    "times a half": lambda m, x: 0.5 * (m.a(x) + m.b(x)),
    "weighted": lambda m, x: 0.3 * m.a(x) + m.b(x) / 4,
    "plain": lambda m, x: (m.a(x) + m.b(x)).relu(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("bias", [True, False])
def test_fires(apply: Apply, spelling: str, bias: bool) -> None:
    result, rewritten = apply(heads(SPELLINGS[spelling], bias=bias), MergeLinears(), 3, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram()["linear"] == 1
    assert not {"add", "mul", "div"} & set(rewritten.graph.histogram())
    assert sorted(rewritten.graph.weights) == ["a.bias", "a.weight"]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.a(x) + m.b(x + 1), "read different tensors"),
        (lambda m, x: torch.add(m.a(x), m.b(x), alpha=2), "alpha"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: Any, reason: str) -> None:
    result, _ = apply(heads(function), MergeLinears(), 3, 5)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_leaves_a_head_that_is_read_elsewhere(apply: Apply) -> None:
    def both(m: Any, x: torch.Tensor) -> Any:
        first = m.a(x)
        return first + m.b(x), first

    result, rewritten = apply(heads(both), MergeLinears(), 3, 5)
    assert result.applied == ()
    assert rewritten.graph.histogram()["linear"] == 2


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_linears, "_number", lambda node: 1.0)  # drops the factor of a half
    result, rewritten = apply(heads(SPELLINGS["halved"]), MergeLinears(), 3, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram()["linear"] == 2
