import pytest
from torch import nn

from mobilevit_deploy.rewrites.normalization import fold_batch_norm, replace_batch_norm
from mobilevit_deploy.rewrites.normalization.replace_batch_norm import ReplaceBatchNorm
from tests.rewrites.conftest import Apply


@pytest.mark.parametrize("affine", [True, False])
def test_fires(apply: Apply, affine: bool) -> None:
    module = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=affine))
    result, rewritten = apply(module, ReplaceBatchNorm(), 2, 4, 6, 6)
    assert len(result.applied) == 1
    assert rewritten.graph.histogram() == {"relu": 1, "conv2d": 1}
    assert sorted(rewritten.graph.weights) == ["1.scale", "1.shift"]


def test_refuses_with_a_reason(apply: Apply) -> None:
    result, _ = apply(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4)), ReplaceBatchNorm(), 5, 4)
    assert "no batch of maps" in result.refused[0].reason
    result, _ = apply(nn.BatchNorm2d(4, track_running_stats=False), ReplaceBatchNorm(), 2, 4, 6, 6)
    assert "statistics of the batch" in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fold_batch_norm.scale_and_shift
    monkeypatch.setattr(replace_batch_norm, "scale_and_shift", lambda graph, node: right(graph, node)[::-1])
    result, _ = apply(nn.BatchNorm2d(4), ReplaceBatchNorm(), 2, 4, 6, 6)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
