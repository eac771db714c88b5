"""TorchScript modules: the captured graph is that of the module that they were made from, as far as rewrites see."""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn

from mobilevit_deploy.graph import torchscript
from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import FoldBatchNorm
from mobilevit_deploy.rewrites.rewrite import rewrite_graph

Make = Callable[[nn.Module, Tensor], nn.Module]


def trace(module: nn.Module, sample: Tensor) -> nn.Module:
    return cast(nn.Module, torch.jit.trace(module, sample))  # type: ignore[no-untyped-call]


BOTH = pytest.mark.parametrize("make", [lambda m, x: torch.jit.script(m), trace], ids=["scripted", "traced"])


class Net(nn.Module):
    """Convolutions of every kind, and in the scripted form a branch and a loop over sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=(1, 2))
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, output_padding=1, groups=2, dilation=2)
        self.line = nn.Conv1d(4, 2, 3, dilation=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.norm(self.stem(x))
        if y.shape[2] > 4:
            y = y * 2
        up = self.up(y)
        return up, self.line(up.flatten(2))


def net() -> nn.Module:
    torch.manual_seed(0)
    module = Net().eval()
    for buffer in module.norm.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)
    return module


@BOTH
@pytest.mark.filterwarnings("ignore")
def test_the_graph_computes_the_same_and_is_rewritten(make: Make) -> None:
    module, sample = net(), torch.randn(1, 3, 16, 12)
    scripted = make(module, sample)
    captured = capture(scripted, sample, "features")
    assert {"conv2d", "conv_transpose2d", "conv1d", "batch_norm"} <= set(captured.graph.histogram())
    assert "convolution" not in captured.graph.histogram()
    assert [output.name for output in captured.outputs] == ["features0", "features1"]
    for found, expected in zip(captured.graph.run(sample), module(sample), strict=True):
        assert torch.equal(found, expected)
    rewritten = rewrite_graph(captured.graph, [FoldBatchNorm()], sample)
    assert len(rewritten.results[0].applied) == 1


@pytest.mark.filterwarnings("ignore")
def test_another_padding_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    module, sample = net(), torch.randn(1, 3, 16, 12)
    right = torchscript._name_convolution

    def wrong(node: fx.Node) -> None:
        right(node)
        if node.target == torch.ops.aten.conv2d.default:
            node.args = (*node.args[:4], [2, 1], *node.args[5:])  # rows for columns

    monkeypatch.setattr(torchscript, "_name_convolution", wrong)
    captured = capture(trace(module, sample), sample, "features")
    assert captured.graph.run(sample)[0].shape != module(sample)[0].shape
