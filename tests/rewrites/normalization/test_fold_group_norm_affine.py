from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.graph.graph import arguments
from mobilevit_deploy.rewrites.normalization import fold_group_norm_affine
from mobilevit_deploy.rewrites.normalization.fold_group_norm_affine import FoldGroupNormAffine
from tests.rewrites.conftest import Apply, Of

FIRES = {
    "before a 1x1": nn.Sequential(nn.GroupNorm(1, 4), nn.Conv2d(4, 6, 1, bias=False)),
    "two groups": nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 6, 1)),
    "through a pool": nn.Sequential(nn.GroupNorm(1, 4), nn.AvgPool2d(2), nn.Conv2d(4, 6, 1, groups=2)),
    "into all readers": Of(
        lambda m, x: (lambda n: m.a(n) + m.b(n))(m.norm(x)),
        norm=nn.GroupNorm(1, 4),
        a=nn.Conv2d(4, 6, 1),
        b=nn.Conv2d(4, 6, 1),
    ),
    "through the mean": Of(lambda m, x: m.head(m.norm(x).mean((2, 3))), norm=nn.GroupNorm(1, 4), head=nn.Linear(4, 3)),
}


@pytest.mark.parametrize("case", FIRES)
def test_fires(apply: Apply, case: str) -> None:
    result, rewritten = apply(FIRES[case], FoldGroupNormAffine(), 2, 4, 8, 8)
    assert len(result.applied) == 1
    (norm,) = rewritten.graph.calls(torch.ops.aten.group_norm)
    assert arguments(norm)["weight"] is arguments(norm)["bias"] is None
    assert not any("norm" in name for name in rewritten.graph.weights)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Sequential(nn.GroupNorm(1, 4), nn.Conv2d(4, 6, 3, padding=1)), "pads with zeros"),
        (nn.Sequential(nn.GroupNorm(1, 4), nn.ReLU()), "read by relu"),
        (nn.Sequential(nn.GroupNorm(1, 4)), "read by the output"),
        (
            Of(
                lambda m, x: m.conv(nn.functional.group_norm(x, 1, x.mean((0, 2, 3)), None)),
                conv=nn.Conv2d(4, 4, 1),
            ),
            "computed in the graph",
        ),
    ],
)
def test_refuses_with_a_reason(apply: Apply, module: nn.Module, reason: str) -> None:
    result, rewritten = apply(module, FoldGroupNormAffine(), 2, 4, 8, 8)
    assert result.applied == ()
    assert reason in result.refused[0].reason
    assert rewritten.graph.histogram()["group_norm"] == 1


def without_offset(graph: Any, node: Any) -> Any:
    gain, offset = ORIGINAL(graph, node)
    return gain, torch.zeros_like(offset)


def with_epsilon(graph: Any, node: Any) -> Any:
    gain, offset = ORIGINAL(graph, node)
    return gain * (1 + 1e-5) ** -0.5, offset


ORIGINAL = fold_group_norm_affine.gain_and_offset


@pytest.mark.parametrize("wrong", [without_offset, with_epsilon])
def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(fold_group_norm_affine, "gain_and_offset", wrong)
    result, _ = apply(FIRES["before a 1x1"], FoldGroupNormAffine(), 2, 4, 8, 8)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
