from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.graph.capture import recapture
from mobilevit_deploy.rewrites.normalization import replace_group_norm
from mobilevit_deploy.rewrites.normalization.fold_group_norm_affine import gain_and_offset
from mobilevit_deploy.rewrites.normalization.replace_group_norm import ReplaceGroupNorm
from mobilevit_deploy.targets.coreml.convert import count_ops
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
from tests.rewrites.conftest import OTHER_GROUP_NORMS, Apply


def test_fires(apply: Apply) -> None:
    result, rewritten = apply(nn.Sequential(nn.GroupNorm(1, 4, affine=False)), ReplaceGroupNorm(), 2, 4, 6, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"layer_norm": 1}


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_keeps_gain_and_offset(apply: Apply, eps: float) -> None:
    result, rewritten = apply(nn.Sequential(nn.GroupNorm(1, 4, eps=eps), nn.ReLU()), ReplaceGroupNorm(), 2, 4, 6, 5)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"layer_norm": 1, "conv2d": 1, "relu": 1}
    assert set(rewritten.graph.weights) == {"0.scale", "0.shift"}


@pytest.mark.parametrize(("module", "reason"), OTHER_GROUP_NORMS)
def test_refuses_with_a_reason(apply: Apply, module: nn.Module, reason: str) -> None:
    result, rewritten = apply(module, ReplaceGroupNorm(), 2, 4, 6, 5)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["group_norm"] == 1


def test_core_ml_has_no_second_epsilon(apply: Apply) -> None:
    import coremltools

    _, rewritten = apply(nn.Sequential(nn.GroupNorm(1, 4), nn.ReLU()), ReplaceGroupNorm(), 1, 4, 6, 5)
    with quiet_coreml():
        program = recapture(rewritten.graph, torch.zeros(1, 4, 6, 5)).run_decompositions({})
        model = coremltools.convert(program, convert_to="mlprogram", skip_model_load=True)
    ops = Counter(count_ops(model.get_spec()))
    assert ops["layer_norm"] == ops["conv"] == 1
    assert ops["batch_norm"] == 0


def without_offset(graph: Any, node: Any) -> Any:
    gain, offset = ORIGINAL(graph, node)
    return gain, torch.zeros_like(offset)


def with_epsilon(graph: Any, node: Any) -> Any:
    gain, offset = ORIGINAL(graph, node)
    return gain * (1 + 1e-5) ** -0.5, offset


ORIGINAL = gain_and_offset


@pytest.mark.parametrize("wrong", [without_offset, with_epsilon])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(replace_group_norm, "gain_and_offset", wrong)
    result, rewritten = apply(nn.Sequential(nn.GroupNorm(1, 4)), ReplaceGroupNorm(), 2, 4, 6, 5)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"group_norm": 1}
