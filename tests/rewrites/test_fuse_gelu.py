import math

import pytest
import torch
from torch import Tensor

from mobilevit_deploy.rewrites import fuse_gelu
from mobilevit_deploy.rewrites.fuse_gelu import FuseGelu
from tests.rewrites.conftest import Apply, Of

ROOT = math.sqrt(2.0)

SPELLINGS = {
    "half last": lambda x: x * (1 + torch.erf(x / ROOT)) * 0.5,
    "half first": lambda x: 0.5 * x * (1 + torch.erf(x / ROOT)),
    "half of the sum": lambda x: x * (0.5 * (torch.erf(x * math.sqrt(0.5)) + 1)),
    "divided": lambda x: x * (1 + torch.erf(x / ROOT)) / 2,
    "divided x": lambda x: (1.0 + torch.erf(x / ROOT)) * (x / 2),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    result, rewritten = apply(Of(lambda m, x: SPELLINGS[spelling](x) + x), FuseGelu(), 2, 3, 4, 4)
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
        (lambda x: x * 0.5 * (1 + torch.erf(x / 1.5)), "argument is not"),
        (lambda x: x * 0.5 * (2 + torch.erf(x / ROOT)), "1 is not added"),
        (lambda x: x * 0.4 * (1 + torch.erf(x / ROOT)), "not multiplied by x / 2"),
        (lambda x: (x + 1) * 0.5 * (1 + torch.erf(x / ROOT)), "not multiplied by x / 2"),
        (lambda x: 0.5 / x * (1 + torch.erf(x / ROOT)), "not multiplied by x / 2"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, function: object, reason: str) -> None:
    result, _ = apply(Of(lambda m, x: function(x)), FuseGelu(), 2, 3, 4, 4)  # type: ignore[operator]
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fuse_gelu, "_scaled", lambda node: (node.args[0], math.sqrt(0.5))
    )  # takes any scale for 1/sqrt(2)
    result, _ = apply(Of(lambda m, x: x * 0.5 * (1 + torch.erf(x / 1.41))), FuseGelu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
