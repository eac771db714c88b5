"""Graphs as one list of operations, which the rules read.

ATen calls of a captured graph, and what an artifact holds (every target reads its own): each becomes an ``Operation``
with its kind in the format's own spelling, its place, and the shapes and types of what goes in and out.
"""

import math
from dataclasses import dataclass

from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, module_path, op_name
from mobilevit_deploy.graph.source_lines import own_place

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Tensor:
    """What goes into an operation or comes out.

    Attributes:
        shape: a dimension that is not fixed is a text.
        dtype: of its elements.
        constant: whether it is known before the graph runs, where the format's reader says so.
        zero_point: what stands for 0 where whole numbers stand for real ones, if the reader says so; of several, the
            farthest from 0.
    """

    shape: Shape
    dtype: str
    constant: bool = False
    zero_point: int | None = None

    @property
    def elements(self) -> int:
        """Returns the number of elements, a free dimension counted as 1."""
        return math.prod(size if isinstance(size, int) else 1 for size in self.shape)


@dataclass(frozen=True)
class Operation:
    """One operation.

    ``at`` is the module path where the format keeps it, else the operation's own name; ``last`` says that
    its result leaves the graph; ``line`` is the line of the model's own code that it is from, as ``net.py:7``, and
    empty where that is not known.
    """

    kind: str
    at: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    last: bool = False
    line: str = ""


def from_graph(graph: Graph) -> list[Operation]:
    """Returns the ATen calls of a captured graph."""

    def tensors(value: object) -> tuple[Tensor, ...]:
        leaves = pytree.tree_leaves(value)
        return tuple(
            Tensor(tuple(leaf.shape), str(leaf.dtype).removeprefix("torch."))
            for leaf in leaves
            if hasattr(leaf, "dtype")
        )

    return [
        Operation(
            op_name(node),
            module_path(node) or node.name,
            tensors([item.meta.get("val") for item in node.all_input_nodes]),
            tensors(node.meta.get("val")),
            any(reader.op == "output" for reader in node.users),
            _line(node),
        )
        for node in graph.nodes
        if op_name(node)
    ]


def _line(node: Node) -> str:
    place = own_place(node.meta.get("stack_trace") or "")
    return f"{place[0]}:{place[1]}" if place else ""
