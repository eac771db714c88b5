import math

import pytest
import torch.nn.functional as F

from mobilevit_deploy.rewrites.activation import decompose_tanh_gelu
from mobilevit_deploy.rewrites.activation.decompose_tanh_gelu import DecomposeTanhGelu
from tests.rewrites.conftest import Apply, Of


def test_fires(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: F.gelu(x, approximate="tanh")), DecomposeTanhGelu(), 2, 3, 4, 4)
    assert len(result.applied) == 1
    assert "gelu" not in rewritten.graph.histogram()
    assert rewritten.graph.histogram()["tanh"] == 1


def test_leaves_the_exact_form_alone(apply: Apply) -> None:
    result, rewritten = apply(Of(lambda m, x: F.gelu(x)), DecomposeTanhGelu(), 2, 3, 4, 4)
    assert (result.applied, result.refused) == ((), ())
    assert rewritten.graph.histogram() == {"gelu": 1}


class WrongConstant:
    """``math`` with a square root that is off in the ninth digit."""

    pi = math.pi
    sqrt = staticmethod(lambda value: math.sqrt(value) * (1 + 1e-9))


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompose_tanh_gelu, "math", WrongConstant)
    result, _ = apply(Of(lambda m, x: F.gelu(x, approximate="tanh")), DecomposeTanhGelu(), 2, 3, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
