"""The rewritten graph, rounded to half precision after every operation."""

import torch
from torch import Tensor, nn

from mobilevit_deploy.graph.capture import capture
from mobilevit_deploy.runners.rounded_graph import round_to_half


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.second(self.first(x))
        return y, y.argmax(1)


def test_weights_and_every_result_are_rounded_once() -> None:
    module, sample = Net().eval(), torch.randn(1, 3, 8, 8)
    graph = capture(module, sample, "features").graph
    before = graph.histogram()
    found, labels = round_to_half(graph).run(sample)

    def half(value: Tensor | None) -> Tensor:
        assert value is not None
        return value.half().float()

    with torch.no_grad():
        y = half(nn.functional.conv2d(sample, half(module.first.weight), half(module.first.bias)))
        y = half(nn.functional.conv2d(y, half(module.second.weight), half(module.second.bias)))
    assert (found == y).all()
    assert (labels == y.argmax(1)).all()
    assert not (graph.run(sample)[0] == found).all()
    assert graph.histogram() == before, "the graph is left as it is"


def test_a_kept_module_is_not_rounded() -> None:
    module, sample = Net().eval(), torch.randn(1, 3, 8, 8)
    graph = capture(module, sample, "features").graph
    kept = round_to_half(graph, ("first", "second")).run(sample)[0]
    assert (kept == graph.run(sample)[0]).all()
    assert not (round_to_half(graph, ("first",)).run(sample)[0] == kept).all()


def test_what_is_beyond_half_precision_is_infinite() -> None:
    module, sample = Net().eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        module.second.weight *= 1e6
    graph = capture(module, sample, "features").graph
    assert not round_to_half(graph).run(sample)[0].isfinite().all()
