"""A rewrite that does what another one does, and then spoils the last number that it wrote by a thousandth."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, op_name
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten


class Sabotaged(Rewrite):
    """Adds a thousandth of its sine to the last number that a rewrite inserts, or a thousandth to its last weight."""

    name: ClassVar[str] = "sabotaged"
    source: ClassVar[str] = "a test"

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self.spoiled: list[str] = []

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return self._rewrite.candidates(graph)

    def rewrite(self, graph: Graph, node: Node) -> None:
        before, weights = set(graph.nodes), set(map(id, graph.weights.values()))
        self._rewrite.rewrite(graph, node)
        graph.remove_dead()  # what no output depends on, as an imaginary part, nobody notices
        inserted = [item for item in graph.nodes if item not in before and _is_number(item) and item.users]
        written = [name for name, value in graph.weights.items() if id(value) not in weights]
        written = [name for name in written if graph.weights[name].is_floating_point()]
        if inserted:
            spoil(graph, inserted[-1])
            self.spoiled.append(inserted[-1].name)
        elif written:
            weight = graph.weights[written[-1]]
            graph.weights[written[-1]] = weight * 1.001 if weight.any() else weight + 1e-3
            self.spoiled.append(written[-1])


def spoil(graph: Graph, node: Node) -> None:
    """Adds a thousandth of its sine to what a call returns: neither a scale nor an offset, which a norm would hide."""
    readers = list(node.users)
    with graph.graph.inserting_after(node):
        wave = graph.call(aten.sin.default, node, like=node)
    with graph.graph.inserting_after(wave):
        small = graph.call(aten.mul.Tensor, wave, 1e-3, like=node)
    with graph.graph.inserting_after(small):
        other = graph.call(aten.add.Tensor, node, small, like=node)
    for reader in readers:
        reader.replace_input_with(node, other)


def _is_number(node: Node) -> bool:
    value = node.meta.get("val")
    return bool(op_name(node)) and isinstance(value, Tensor) and value.is_floating_point()
