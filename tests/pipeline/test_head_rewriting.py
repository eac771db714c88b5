"""Pyramids and heads on several levels, rewritten by every recipe: nothing is lost, taken back or written twice."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.pipeline.rewriting import rewrite_captured
from tests.rewrites.conftest import randomise

FLOAT32 = 1e-5  # of the largest value; a rewrite itself is proved in float64, to 1e-12
RECIPES = ("onnx", *(pytest.param(name, marks=pytest.mark.slow) for name in ("coreml", "executorch", "coreai")))


class Pyramid(nn.Module):
    """Three maps; each is told by the coarser one, nearest; one head for all; the last is brought up by twos."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 8, 4, 4), nn.ModuleList(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(2))
        self.lateral = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(3))
        self.conv, self.norm, self.last = nn.Conv2d(8, 8, 3, padding=1, bias=False), norm, nn.Conv2d(8, 5, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        maps = [self.stem(x)]
        for down in self.down:
            maps.append(down(maps[-1].relu()))
        merged = [lateral(level) for lateral, level in zip(self.lateral, maps, strict=True)]
        for i in (2, 1):
            merged[i - 1] = merged[i - 1] + F.interpolate(merged[i], size=merged[i - 1].shape[2:], mode="nearest")
        double = self.norm(self.conv(merged[2])).relu()
        for _ in range(2):
            double = F.interpolate(double, scale_factor=2, mode="bilinear", align_corners=False)
        return {"maps": [self.last(self.norm(self.conv(x)).relu()) for x in merged], "sum": double + merged[0]}


NORMS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.BatchNorm2d(8),
    "group norm": lambda: nn.GroupNorm(2, 8),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("norm", NORMS)
def test_pyramids_and_shared_heads(norm: str, recipe: str) -> None:
    module = Pyramid(NORMS[norm]()).eval()
    randomise(module)
    sample = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    captured = capture(module, sample, "features")
    rewritten, warnings = rewrite_captured(catalog.recipe(recipe), captured.graph, sample)
    assert warnings == ()
    for before, after in zip(captured.graph.run(sample), rewritten.graph.run(sample), strict=True):
        assert (after - before).abs().max() <= FLOAT32 * before.abs().max()
    histogram = rewritten.graph.histogram()
    assert (histogram["upsample_nearest2d"], histogram["upsample_bilinear2d"]) == (2, 2)
    assert "batch_norm" not in histogram
    size, own = (sum(value.numel() for value in graph.weights.values()) for graph in (rewritten.graph, captured.graph))
    assert size <= own + 64, "the head is written once, and the pyramid once"
