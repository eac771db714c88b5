from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mobilevit_deploy.rewrites.pooling import fuse_global_average
from mobilevit_deploy.rewrites.pooling.fuse_global_average import FuseGlobalAverage
from tests.rewrites.conftest import Apply, Of

SPELLINGS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, 1), (2, 3, 1, 1)),
    "adaptive pair": (lambda x: F.adaptive_avg_pool2d(x, (1, 1)).flatten(1), (2, 3)),
    "whole window": (lambda x: F.avg_pool2d(x, (4, 6)), (2, 3, 1, 1)),
    "flattened": (lambda x: x.flatten(2).mean(-1), (2, 3)),
    "viewed": (lambda x: x.view(2, 3, 24).mean(2), (2, 3)),
    "kept": (lambda x: x.reshape(2, 3, -1).mean(-1, keepdim=True), (2, 3, 1)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_fires(apply: Apply, spelling: str) -> None:
    function, shape = SPELLINGS[spelling]
    result, rewritten = apply(Of(lambda m, x: function(x)), FuseGlobalAverage(), 2, 3, 4, 6)
    assert len(result.applied) == 1
    histogram = rewritten.graph.histogram()
    assert histogram["mean"] == 1
    assert not {"adaptive_avg_pool2d", "avg_pool2d", "view"} & set(histogram)
    assert rewritten.graph.run(torch.ones(2, 3, 4, 6))[0].shape == shape


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.AdaptiveAvgPool2d(2), "the output size is"),
        (nn.AvgPool2d(2), "not the whole map"),
        (nn.AvgPool2d((4, 6), divisor_override=5), "divisor"),
        (Of(lambda m, x: x.flatten(1).mean(-1)), "no flattened map"),
        (Of(lambda m, x: x.flatten(2).mean(1)), "not over the flattened axis"),
    ],
)
def test_refuses_with_a_reason(apply: Apply, module: nn.Module, reason: str) -> None:
    result, _ = apply(module, FuseGlobalAverage(), 2, 3, 4, 6)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse_global_average, "MAP_AXES", [1, 3])
    result, _ = apply(Of(lambda m, x: F.adaptive_avg_pool2d(x, 1).flatten(1)), FuseGlobalAverage(), 2, 4, 4, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
