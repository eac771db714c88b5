from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.rewrites.compatibility import replace_interpolation
from mobilevit_deploy.rewrites.compatibility.replace_interpolation import ReplaceInterpolation
from tests.rewrites.conftest import Apply, Of

LACKING: list[dict[str, Any]] = [
    {"size": (3, 4), "mode": "bilinear", "antialias": True},
    {"size": (13, 4), "mode": "bilinear", "antialias": True, "align_corners": True},
    {"size": (3, 14), "mode": "bicubic", "antialias": True},
    {"scale_factor": (1.7, 0.6), "mode": "bicubic", "antialias": True},
    {"scale_factor": 2, "mode": "bicubic", "align_corners": True},
    {"size": (5, 9), "mode": "bicubic"},
    {"scale_factor": (2, 0.4), "mode": "nearest-exact"},
    {"scale_factor": (2.3, 0.6), "mode": "nearest"},
    {"scale_factor": (2.0, 1.7), "mode": "bilinear"},
]


@pytest.mark.parametrize("options", LACKING, ids=str)
def test_fires(apply: Apply, options: dict[str, Any]) -> None:
    result, rewritten = apply(Of(lambda m, x: F.interpolate(x, **options)), ReplaceInterpolation(), 2, 3, 8, 9)
    assert len(result.applied) == 1
    products = 1 if options.get("size") == (5, 9) else 2  # an axis that keeps its size needs none
    assert rewritten.graph.histogram() == {"matmul": products}


@pytest.mark.parametrize(
    "options",
    [
        {"scale_factor": 2, "mode": "nearest"},
        {"size": (5, 4), "mode": "nearest"},
        {"scale_factor": 1.5, "mode": "bilinear", "recompute_scale_factor": True},
        {"scale_factor": 1.7, "mode": "bilinear", "align_corners": True},
    ],
    ids=str,
)
def test_leaves_alone_what_is_converted_right(apply: Apply, options: dict[str, Any]) -> None:
    result, _ = apply(Of(lambda m, x: F.interpolate(x, **options)), ReplaceInterpolation(), 2, 3, 8, 9)
    assert (result.applied, result.refused) == ((), ())


def test_a_wrong_version_is_caught(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    right = replace_interpolation._matrix

    def other_scale(node: Node, axis: int, scale: float | None) -> Tensor:
        return right(node, axis, None if scale is None else scale * (1 + 1e-6))

    monkeypatch.setattr(replace_interpolation, "_matrix", other_scale)
    module = Of(lambda m, x: F.interpolate(x, scale_factor=0.6, mode="bicubic"))
    result, _ = apply(module, ReplaceInterpolation(), 2, 3, 8, 9)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
