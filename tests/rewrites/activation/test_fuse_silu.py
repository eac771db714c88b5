from typing import Any

import pytest
import torch
from torch import Tensor

from mobilevit_deploy.rewrites.activation import fuse_silu
from mobilevit_deploy.rewrites.activation.fuse_silu import FuseSilu
from tests.rewrites.conftest import Apply, Of


class Swish(torch.autograd.Function):
    """As in research code: saves the input only, and computes the sigmoid again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, i: Tensor) -> Tensor:
        ctx.save_for_backward(i)
        activated: Tensor = i * torch.sigmoid(i)
        return activated

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (i,) = ctx.saved_tensors
        gate = torch.sigmoid(i)
        chained: Tensor = gradient * (gate * (1 + i * (1 - gate)))
        return chained


SPELLINGS: dict[str, Any] = {
    "gate last": lambda x: x * torch.sigmoid(x),
    "gate first": lambda x: x.sigmoid() * x,
    "autograd function": Swish.apply,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    result, rewritten = apply(Of(lambda m, x: SPELLINGS[spelling](x) + x), FuseSilu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"silu": 1, "add": 1}


def test_a_gate_that_is_read_elsewhere_stays(apply: Apply) -> None:
    module = Of(lambda m, x: (lambda gate: x * gate + gate)(x.sigmoid()))
    result, rewritten = apply(module, FuseSilu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"sigmoid": 1, "silu": 1, "add": 1}


def test_refuses_another_gate(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: x * (x * 1.5).sigmoid()), FuseSilu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "own argument" in result.refused[0].reason
    assert "sigmoid" in rewritten.graph.histogram()


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse_silu, "_multiplies", lambda node, x, gate: True)  # takes any product for the own one
    result, _ = apply(Of(lambda m, x: x * (x * 1.0001).sigmoid()), FuseSilu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
