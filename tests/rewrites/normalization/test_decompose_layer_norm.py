from collections.abc import Callable

import pytest
import torch
from torch import nn

from mobilevit_deploy.graph.graph import shape
from mobilevit_deploy.rewrites.normalization.decompose_layer_norm import DecomposeLayerNorm
from tests.rewrites.conftest import Apply

PLAIN = {"linear": 2, "sub": 1, "mul": 2, "rsqrt": 1}


@pytest.mark.parametrize("shape", [(2, 5, 8), (1, 3, 4, 8), (5, 8)])
def test_fires(apply: Apply, shape: tuple[int, ...]) -> None:
    norm = nn.LayerNorm(8, elementwise_affine=False)
    result, rewritten = apply(nn.Sequential(norm), DecomposeLayerNorm(), *shape)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == PLAIN


def test_maps_of_one_column_have_two_axes(apply: Apply) -> None:
    result, rewritten = apply(nn.Sequential(nn.LayerNorm(8)), DecomposeLayerNorm(), 2, 3, 1, 8)
    assert len(result.applied) == 1
    assert {len(shape(node)) for node in rewritten.graph.calls(torch.ops.aten.linear)} == {2}


@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_keeps_gain_and_offset(apply: Apply, eps: float) -> None:
    result, rewritten = apply(nn.Sequential(nn.LayerNorm(8, eps=eps)), DecomposeLayerNorm(), 2, 5, 8)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {**PLAIN, "mul": 3, "add": 1}


def test_refuses_more_axes(apply: Apply) -> None:
    result, rewritten = apply(nn.Sequential(nn.LayerNorm([5, 8])), DecomposeLayerNorm(), 2, 5, 8)
    assert result.applied == ()
    assert "more than the last axis" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"layer_norm": 1}


@pytest.mark.parametrize("name", ["epsilon", "mean_of_channels"])
def test_a_wrong_constant_is_caught(apply: Apply, spoil_weight: Callable[[str], None], name: str) -> None:
    spoil_weight(name)
    result, rewritten = apply(nn.Sequential(nn.LayerNorm(8)), DecomposeLayerNorm(), 2, 5, 8)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"layer_norm": 1}
