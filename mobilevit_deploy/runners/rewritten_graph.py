"""The rewritten graph, before any converter has seen it."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.sample import sample_of
from mobilevit_deploy.runners.base import Array

Range = tuple[float, float]


class GraphRunner:
    """Runs a graph in PyTorch, float32, and keeps the ranges that it met.

    Attributes:
        ranges: lowest and highest finite value by node, over all batches so far. An infinite one is no loss of another
            precision, as the minus infinity of a mask is none.
    """

    name = "torch"

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.settings: Mapping[str, str] = {}
        self.ranges: dict[Node, Range] = {}

    def run(self, batch: Array) -> Sequence[Array]:
        outputs = self._graph.run(sample_of(batch), observe=self._observe)
        return [output.numpy() for output in outputs]

    def _observe(self, node: Node, value: object) -> None:
        if isinstance(value, Tensor) and (found := finite_range(value)):
            lowest, highest = self.ranges.get(node, found)
            self.ranges[node] = (min(lowest, found[0]), max(highest, found[1]))


def finite_range(value: Tensor) -> Range | None:
    """Returns the lowest and the highest finite value of a tensor; None where there is none."""
    if not value.is_floating_point() or not value.numel():
        return None
    lowest, highest = value.aminmax()
    if not (lowest.isfinite() and highest.isfinite()):  # NaN is both of them; only then is all of it looked through
        return finite_range(value[value.isfinite()])
    return float(lowest), float(highest)
