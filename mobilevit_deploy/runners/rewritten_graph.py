"""The rewritten graph, before any converter has seen it."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph
from mobilevit_deploy.graph.sample import sample_of
from mobilevit_deploy.runners.base import Array


class GraphRunner:
    """Runs a graph in PyTorch, float32, and keeps the largest magnitudes that it met.

    Attributes:
        largest: by node, over all batches so far; infinity and NaN are kept.
    """

    name = "torch"

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.settings: Mapping[str, str] = {}
        self.largest: dict[Node, float] = {}

    def run(self, batch: Array) -> Sequence[Array]:
        outputs = self._graph.run(sample_of(batch), observe=self._observe)
        return [output.numpy() for output in outputs]

    def _observe(self, node: Node, value: object) -> None:
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            magnitude = float(value.abs().max())
            self.largest[node] = max(self.largest.get(node, 0.0), magnitude, key=_worst)


def _worst(magnitude: float) -> tuple[bool, float]:
    return (magnitude != magnitude, magnitude)  # NaN is worse than any number
