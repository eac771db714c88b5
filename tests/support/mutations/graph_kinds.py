"""Corruptions of a captured graph, for formats whose files cannot be edited: the kinds that Core ML packages have."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, op_name, shape
from tests.support.mutations.changes import Change, flip_exponent_bit, scale, swap_channels, zero_channel

aten = torch.ops.aten
LAYERS = (aten.conv2d, aten.conv_transpose2d, aten.convolution, aten.linear, aten.addmm, aten.layer_norm)
MATRICES = (aten.matmul, aten.mm, aten.bmm)
OPPOSITES = {
    "relu": aten.sigmoid.default,
    "sigmoid": aten.tanh.default,
    "tanh": aten.sigmoid.default,
    "gelu": aten.relu.default,
}


@dataclass(frozen=True)
class GraphEdit:
    """One corruption that a graph admits; ``apply`` does it to the graph that it was made of."""

    kind: str
    place: str
    apply: Callable[[np.random.Generator], None]


def edits(graph: Graph) -> Iterator[GraphEdit]:
    """Yields every corruption that a graph admits."""
    yield from _of_weights(graph)
    yield from _of_arguments(graph)
    yield from _of_wiring(graph)


def _of_weights(graph: Graph) -> Iterator[GraphEdit]:
    changes: dict[str, tuple[str, Change]] = {
        "weight scaled by 1 %": ("weight", partial(scale, 1.01)),
        "weight scaled by 10 %": ("weight", partial(scale, 1.1)),
        "channel of a weight zeroed": ("weight", zero_channel),
        "two channels of a weight swapped": ("weight", swap_channels),
        "sign of a bias flipped": ("bias", partial(scale, -1.0)),
        "exponent bit of a weight flipped": ("weight", flip_exponent_bit),
    }
    found: dict[str, list[tuple[str, str]]] = {"weight": [], "bias": []}
    for node in graph.calls(*LAYERS):
        for place, known in found.items():
            source = arguments(node).get(place)
            value = graph.weight(source)
            if isinstance(source, Node) and value is not None and value.ndim and len(value) > 1:
                known.append((node.name, str(source.target)))
    for kind, (place, change) in changes.items():
        for name, weight in found[place]:
            yield GraphEdit(kind, name, partial(_change, graph, weight, change))
    for (first, one), (second, other) in combinations(found["weight"], 2):
        if one != other and graph.weights[one].shape == graph.weights[other].shape:
            yield GraphEdit(
                "two weights of a shape exchanged", f"{first} and {second}", partial(_exchange, graph, one, other)
            )


def _of_arguments(graph: Graph) -> Iterator[GraphEdit]:
    for node in graph.nodes:
        if not op_name(node):
            continue
        given = arguments(node)
        if "eps" in given:
            yield GraphEdit("epsilon made 1e-3", node.name, partial(_set, node, "eps", 1e-3))
        if is_call(node, aten.gelu):
            other = "none" if given["approximate"] == "tanh" else "tanh"
            yield GraphEdit("GELU exact and tanh confused", node.name, partial(_set, node, "approximate", other))
        if is_call(node, aten.softmax, aten._softmax):
            axis = -2 if given["dim"] in (-1, len(shape(node)) - 1) else -1
            yield GraphEdit("axis of softmax", node.name, partial(_set, node, "dim", axis))
        if is_call(node, aten.avg_pool2d) and not given["count_include_pad"]:
            yield GraphEdit("padding of a pool counted", node.name, partial(_set, node, "count_include_pad", True))
        if is_call(node, aten.permute) and _square(node):
            yield GraphEdit("axes of a permute", node.name, partial(_set, node, "dims", _swapped(given["dims"])))
        if is_call(node, aten.slice) and given["start"]:
            moved = {"start": given["start"] - 1, "end": given["end"] - 1} if isinstance(given["end"], int) else {}
            if moved and given["end"] < 2**31:
                yield GraphEdit("slice shifted", node.name, partial(_set_all, node, moved))


def _of_wiring(graph: Graph) -> Iterator[GraphEdit]:
    for node in graph.nodes:
        tensors = [source for source in node.args if isinstance(source, Node) and graph.weight(source) is None]
        alike = len(tensors) == 2 and shape(tensors[0]) == shape(tensors[1])
        if alike and is_call(node, aten.sub, aten.div, *MATRICES):
            yield GraphEdit("inputs of a difference, quotient or product swapped", node.name, partial(_swap, node))
        if alike and is_call(node, aten.add) and tensors[0] is not tensors[1]:
            yield GraphEdit("residual from the wrong place", node.name, partial(_read_twice, node))
            yield GraphEdit("operation exchanged", node.name, partial(_call, node, aten.mul.Tensor))
        if is_call(node, aten.cat):
            yield GraphEdit("inputs of a concatenation swapped", node.name, partial(_swap_joined, node))
        if op_name(node) in OPPOSITES:
            yield GraphEdit("operation exchanged", node.name, partial(_call, node, OPPOSITES[op_name(node)]))


def _square(node: Node) -> bool:
    size = shape(node)
    return len(size) > 1 and size[-1] == size[-2]


def _swapped(axes: list[int]) -> list[int]:
    return [*axes[:-2], axes[-1], axes[-2]]


def _change(graph: Graph, name: str, change: Change, rng: np.random.Generator) -> None:
    """Changes a copy: the memory of a graph's weights may be shared."""
    value = graph.weights[name].clone()
    change(value.numpy(), rng)
    graph.weights[name] = value


def _exchange(graph: Graph, one: str, other: str, _: np.random.Generator) -> None:
    graph.weights[one], graph.weights[other] = graph.weights[other], graph.weights[one]


def _set_all(node: Node, values: dict[str, object], rng: np.random.Generator) -> None:
    for name, value in values.items():
        _set(node, name, value, rng)


def _set(node: Node, name: str, value: object, _: np.random.Generator) -> None:
    assert isinstance(node.target, torch._ops.OpOverload)
    names = [parameter.name for parameter in node.target._schema.arguments]
    at = names.index(name)
    if at < len(node.args):
        node.update_arg(at, value)  # type: ignore[arg-type]
    else:
        node.update_kwarg(name, value)  # type: ignore[arg-type]


def _swap(node: Node, _: np.random.Generator) -> None:
    node.args = (node.args[1], node.args[0], *node.args[2:])


def _read_twice(node: Node, _: np.random.Generator) -> None:
    node.args = (node.args[0], node.args[0], *node.args[2:])


def _swap_joined(node: Node, _: np.random.Generator) -> None:
    joined = node.args[0]
    assert isinstance(joined, list | tuple)
    first, second, *rest = joined
    node.args = ([second, first, *rest], *node.args[1:])


def _call(node: Node, op: torch._ops.OpOverload, _: np.random.Generator) -> None:
    """Calls another op on the same tensors."""
    node.args = tuple(value for value in node.args if isinstance(value, Node))
    node.kwargs = {}
    node.target = op
