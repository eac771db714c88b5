import math

import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.compatibility import replace_rms_norm
from mobilevit_deploy.rewrites.compatibility.replace_rms_norm import ReplaceRmsNorm
from tests.conftest import capture_model
from tests.rewrites.conftest import Apply, Of

NORMS = {
    "gain": nn.RMSNorm(5, eps=1e-3),
    "two axes": nn.RMSNorm((4, 5), eps=1e-6, elementwise_affine=False),
    "epsilon of float32": nn.RMSNorm(5),
}


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("name", NORMS)
def test_fires(apply: Apply, name: str, size: float) -> None:
    result, rewritten = apply(Of(lambda m, x: m.norm(x * size), norm=NORMS[name]), ReplaceRmsNorm(), 2, 3, 4, 5)
    assert len(result.applied) == 1
    assert "rms_norm" not in rewritten.graph.histogram()


def test_zeros_stay_zeros(apply: Apply) -> None:
    _, rewritten = apply(NORMS["gain"], ReplaceRmsNorm(), 2, 3, 4, 5)
    assert torch.equal(rewritten.graph.run(torch.zeros(2, 3, 4, 5))[0], torch.zeros(2, 3, 4, 5))


def test_an_epsilon_that_is_not_given_stays_that_of_float32() -> None:
    small = torch.randn(1, 3, 4, 5) * 1e-4
    graph = capture_model(NORMS["epsilon of float32"], 1, 3, 4, 5).graph
    (expected,) = graph.run(small)
    graph.cast(torch.float32, torch.float64)
    torch.testing.assert_close(graph.run(small.double())[0].float(), expected)


def test_refuses_with_a_reason(apply: Apply) -> None:
    result, _ = apply(nn.RMSNorm(5, eps=0.0), ReplaceRmsNorm(), 2, 3, 4, 5)
    assert result.applied == ()
    assert "no epsilon" in result.refused[0].reason


class WrongRoot:
    """``math`` with a square root that is off in the sixth digit."""

    sqrt = staticmethod(lambda value: math.sqrt(value) * (1 + 1e-6))


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace_rms_norm, "math", WrongRoot)
    result, _ = apply(NORMS["gain"], ReplaceRmsNorm(), 2, 3, 4, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
