import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mobilevit_deploy.rewrites.activation import fuse_gelu
from mobilevit_deploy.rewrites.activation.fuse_gelu import FuseGelu
from tests.rewrites.conftest import Apply, Of

ROOT = math.sqrt(2.0)

SPELLINGS = {
    "half last": lambda x: x * (1 + torch.erf(x / ROOT)) * 0.5,
    "half first": lambda x: 0.5 * x * (1 + torch.erf(x / ROOT)),
    "half of the sum": lambda x: x * (0.5 * (torch.erf(x * math.sqrt(0.5)) + 1)),
    "divided": lambda x: x * (1 + torch.erf(x / ROOT)) / 2,
    "divided x": lambda x: (1.0 + torch.erf(x / ROOT)) * (x / 2),
}

TANH_ROOT = math.sqrt(2 / math.pi)

TANH_SPELLINGS = {
    "pow": lambda x: 0.5 * x * (1 + torch.tanh(TANH_ROOT * (x + 0.044715 * torch.pow(x, 3.0)))),
    "cube": lambda x: x * (0.5 * (torch.tanh((x + 0.044715 * x * x * x) * TANH_ROOT) + 1)),
    "factored": lambda x: x * (1 + torch.tanh(x * TANH_ROOT * (1 + 0.044715 * x * x))) / 2,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    result, rewritten = apply(Of(lambda m, x: SPELLINGS[spelling](x) + x), FuseGelu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"gelu": 1, "add": 1}


@pytest.mark.parametrize("spelling", TANH_SPELLINGS)
def test_fires_on_the_tanh_form(apply: Apply, spelling: str) -> None:
    result, rewritten = apply(Of(lambda m, x: TANH_SPELLINGS[spelling](x) + x), FuseGelu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"gelu": 1, "add": 1}


def test_keeps_a_gate_outside(apply: Apply) -> None:
    def gated(_: object, x: Tensor) -> Tensor:
        result: Tensor = SPELLINGS["half first"](x) * torch.sigmoid(x)
        return result

    result, rewritten = apply(Of(gated), FuseGelu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"sigmoid": 1, "mul": 1, "gelu": 1}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * 0.5 * (1 + torch.erf(x / 1.5)), "not a GELU's argument"),
        (lambda x: x * 0.5 * (1 + torch.tanh(TANH_ROOT * (x + 0.0447 * x**3))), "not a GELU's argument"),
        (lambda x: x * 0.5 * (1 + torch.tanh(x.exp())), "not a GELU's argument"),
        (lambda x: x * 0.4 * (1 + torch.erf(x / ROOT)), "not multiplied by x / 2"),
        (lambda x: (x + 1) * 0.5 * (1 + torch.erf(x / ROOT)), "not a GELU's argument"),
        (lambda x: 0.5 / x * (1 + torch.erf(x / ROOT)), "not a GELU's argument"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: object, reason: str) -> None:
    result, _ = apply(Of(lambda m, x: function(x)), FuseGelu(), 2, 3, 4, 4)  # type: ignore[operator]
    assert result.applied == ()
    assert reason in result.refused[0].reason


@pytest.mark.parametrize("function", [torch.erf, torch.tanh])
def test_is_not_about_other_uses_of_the_functions(apply: Apply, function: Callable[[Tensor], Tensor]) -> None:
    result, _ = apply(Of(lambda m, x: x * 0.5 * (2 + function(x / ROOT))), FuseGelu(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())


@pytest.mark.parametrize("function", [torch.erf, torch.tanh])
def test_a_wrong_version_is_caught(
    apply: Apply, monkeypatch: pytest.MonkeyPatch, function: Callable[[Tensor], Tensor]
) -> None:
    monkeypatch.setattr(fuse_gelu, "_computes", lambda *_: True)  # takes any argument for the right one
    result, _ = apply(Of(lambda m, x: x * 0.5 * (1 + function(x / 1.41))), FuseGelu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
