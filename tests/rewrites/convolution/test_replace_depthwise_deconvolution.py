from typing import Any

import pytest
import torch
from torch import nn

from mobilevit_deploy.rewrites.convolution.replace_depthwise_deconvolution import ReplaceDepthwiseDeconvolution
from tests.rewrites.conftest import Apply, Of


def upsampling(channels: int, kernel: Any, **options: Any) -> Of:
    settings = {"stride": kernel, "groups": channels} | options
    return Of(lambda m, x: m.up(x), up=nn.ConvTranspose2d(channels, channels, kernel, **settings))


@pytest.mark.parametrize("kernel", [2, 4, 8, (3, 2), (1, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_fires(apply: Apply, kernel: Any, bias: bool) -> None:
    result, rewritten = apply(upsampling(6, kernel, bias=bias), ReplaceDepthwiseDeconvolution(), 2, 6, 3, 4)
    assert len(result.applied) == 1
    ops = {"upsample_nearest2d": 1, "mul": 1}
    assert rewritten.graph.histogram() == (ops | {"add": 1} if bias else ops)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (upsampling(6, 4, stride=2), "squares overlap or leave gaps"),
        (upsampling(6, 2, padding=1), "padding cuts"),
        (upsampling(6, 2, output_padding=1), "or adds to them"),
        (upsampling(6, 2, dilation=2), "dilated"),
        (Of(lambda m, x: m.up(x), up=nn.ConvTranspose2d(6, 6, 2, stride=2, groups=2)), "not depthwise"),
        (Of(lambda m, x: m.up(x), up=nn.ConvTranspose2d(6, 12, 2, stride=2, groups=6)), "not depthwise"),
        (Of(lambda m, x: m.up(x[0]), up=nn.ConvTranspose2d(6, 6, 2, stride=2, groups=6)), "no batch of maps"),
        (
            Of(
                lambda m, x: torch.conv_transpose2d(x, m.up.weight * x.mean(), groups=6),
                up=nn.ConvTranspose2d(6, 6, 1, groups=6),
            ),
            "computed in the graph",
        ),
    ],
)
def test_refuses_with_a_reason(apply: Apply, module: nn.Module, reason: str) -> None:
    result, _ = apply(module, ReplaceDepthwiseDeconvolution(), 2, 6, 3, 4)
    assert result.applied == ()
    assert reason in result.refused[0].reason


def test_leaves_what_is_not_grouped(apply: Apply) -> None:
    module = Of(lambda m, x: m.up(x), up=nn.ConvTranspose2d(6, 6, 2, stride=2))
    result, _ = apply(module, ReplaceDepthwiseDeconvolution(), 2, 6, 3, 4)
    assert not result.applied
    assert not result.refused


class TransposesTheKernel(ReplaceDepthwiseDeconvolution):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        weight = str(node.args[1].target)
        graph.weights[weight] = graph.weights[weight].mT
        super().rewrite(graph, node)


class DropsTheBias(ReplaceDepthwiseDeconvolution):
    def rewrite(self, graph, node):  # type: ignore[no-untyped-def]
        node.args = (*node.args[:2], None, *node.args[3:])
        super().rewrite(graph, node)


@pytest.mark.parametrize("wrong", [TransposesTheKernel(), DropsTheBias()])
def test_a_wrong_version_is_caught(apply: Apply, wrong: ReplaceDepthwiseDeconvolution) -> None:
    result, rewritten = apply(upsampling(6, 2), wrong, 2, 6, 3, 4)
    assert result.applied == ()
    assert "not proved" in result.refused[0].reason
    assert rewritten.graph.histogram() == {"conv_transpose2d": 1}
