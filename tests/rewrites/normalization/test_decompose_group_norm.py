from collections.abc import Callable

import pytest
from torch import nn

from mobilevit_deploy.rewrites.normalization.decompose_group_norm import DecomposeGroupNorm
from tests.rewrites.conftest import OTHER_GROUP_NORMS, Apply

PLAIN = {"mean": 2, "conv2d": 2, "sub": 1, "mul": 2, "rsqrt": 1}


def test_fires(apply: Apply) -> None:
    norm = nn.GroupNorm(1, 4, affine=False)
    result, rewritten = apply(nn.Sequential(norm), DecomposeGroupNorm(), 2, 4, 6, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == PLAIN


@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_keeps_gain_and_offset(apply: Apply, eps: float) -> None:
    result, rewritten = apply(nn.Sequential(nn.GroupNorm(1, 4, eps=eps)), DecomposeGroupNorm(), 2, 4, 6, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {**PLAIN, "conv2d": 3}


@pytest.mark.parametrize(("module", "reason"), OTHER_GROUP_NORMS)
def test_refuses_with_a_reason(apply: Apply, module: nn.Module, reason: str) -> None:
    result, rewritten = apply(module, DecomposeGroupNorm(), 2, 4, 6, 5)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["group_norm"] == 1


@pytest.mark.parametrize("name", ["epsilon", "mean_of_channels"])
def test_a_wrong_constant_is_caught(apply: Apply, spoil_weight: Callable[[str], None], name: str) -> None:
    spoil_weight(name)
    result, rewritten = apply(nn.Sequential(nn.GroupNorm(1, 4)), DecomposeGroupNorm(), 2, 4, 6, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"group_norm": 1}
