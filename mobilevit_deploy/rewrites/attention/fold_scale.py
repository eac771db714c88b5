"""Folds a constant factor into the weights of the layer that it scales.

::

    conv(x, W, b) * c                                  ->   conv(x, c * W, c * b)       c a number or per channel
    transpose(reshape(conv(x, W, b), ...)) * c         ->   the same of conv(x, c * W, c * b)       c a number
    (q @ k) * c  with q = transpose(reshape(conv(x)))  ->   q @ k with c in q's convolution         c a number

Why it hurts: ``1 / sqrt(d)`` is a pass over the queries, or over the whole attention map, and layer scale is one over
every branch. Where a layer's channels are cut into parts and one of them is scaled (queries among keys and
values), only the rows of that part are. Which rows reach the product is found by sending the channels' numbers through
the same rearrangements; another reader of any of these rows is a reason to refuse.
"""

import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import CONVOLUTIONS, TRANSPOSED, scale_outputs
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

LAYERS = (*CONVOLUTIONS, *TRANSPOSED, aten.linear)
REARRANGEMENTS = (
    aten.view, aten.reshape, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze, aten.permute, aten.transpose,
    aten.mT, aten.unbind, aten.select, aten.slice, aten.chunk, aten.split, aten.split_with_sizes, aten.tensor_split,
)  # fmt: skip
PRODUCTS = (aten.matmul, aten.bmm)


class FoldScale(Rewrite):
    """No multiplication by a constant where a layer's weights can hold it."""

    name: ClassVar[str] = "fold_scale"
    source: ClassVar[str] = "linearity of convolutions and matrix products"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.mul, aten.div):
            scaled, factor = _scaled(graph, node)
            if scaled is not None and factor is not None and _reaches_layer(scaled):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        scaled, factor = _scaled(graph, node)
        assert scaled is not None  # candidates() has looked
        assert factor is not None  # as above
        if node.meta["val"].dtype != scaled.meta["val"].dtype or shape(node) != shape(scaled):
            raise Refusal("the factor changes the shape or the dtype")
        if isinstance(factor, Tensor):
            _scale_channels(graph, scaled, factor, node)
        else:
            for twin in _scale_somewhere(graph, scaled, factor, node):
                same, _ = _scaled(graph, twin)
                assert same is not None  # it is a product
                graph.replace(twin, same)
        graph.replace(node, scaled)


def _scaled(graph: Graph, node: Node) -> tuple[Node | None, float | Tensor | None]:
    """Returns x and c of ``x * c`` or ``x / (1 / c)`` with a constant c; c is a number where it has one element."""
    given = arguments(node)
    if given.get("rounding_mode") is not None:
        return None, None
    pairs = [(given["self"], given["other"])]
    if is_call(node, aten.mul):
        pairs.append((given["other"], given["self"]))
    for x, constant in pairs:
        factor = graph.weight(constant) if isinstance(constant, Node) else constant
        if isinstance(x, Node) and graph.weight(x) is None and isinstance(factor, (int, float, Tensor)):
            if isinstance(factor, Tensor) and factor.numel() == 1:
                factor = float(factor)
            return x, 1 / factor if is_call(node, aten.div) else factor
    return None, None


def _sources(node: Node) -> list[Node]:
    """Returns the nodes that a node only rearranges, or whose product it is."""
    if _rearranges(node):
        return [node.args[0]]  # type: ignore[list-item]  # a tensor or a list of tensors
    if is_call(node, *PRODUCTS) and node.args[0] is not node.args[1]:
        return [item for item in node.args[:2] if isinstance(item, Node)]
    return []


def _reaches_layer(node: Node) -> bool:
    return is_call(node, *LAYERS) or any(_reaches_layer(source) for source in _sources(node))


def _scale_channels(graph: Graph, layer: Node, factor: Tensor, product: Node) -> None:
    if not is_call(layer, *LAYERS):
        raise Refusal("the factor is per channel, and there is no layer directly before it")
    if readers(layer) != [product]:
        raise Refusal("the layer's output is read unscaled too")
    rank = len(shape(layer))
    sizes = [1] * (rank - factor.ndim) + list(factor.shape)
    if any(size != 1 for axis, size in enumerate(sizes) if axis != _channel_axis(layer)):
        raise Refusal("the factor differs within a channel")
    scale_outputs(graph, layer, factor.flatten().expand(_channels(layer)))


def _scale_somewhere(graph: Graph, scaled: Node, factor: float, product: Node) -> list[Node]:
    """Scales the rows of the first layer, on any way up from a node, that are read scaled alone; else raises Refusal.

    Returns the other products of these rows and the same factor.
    """
    reasons: list[str] = []
    for layer, chain in _ways(scaled, [product]):
        try:
            rows, elsewhere = _rows(layer, chain)
            twins = [_twin(graph, reader, numbers, rows, product) for reader, numbers in elsewhere]
            factors = torch.ones(_channels(layer), dtype=layer.meta["val"].dtype)
            factors[rows] = factor
            scale_outputs(graph, layer, factors)
            return [twin for twin in twins if twin is not None]
        except Refusal as refusal:
            reasons.append(str(refusal))
    raise Refusal("; ".join(dict.fromkeys(reasons)))


def _ways(node: Node, below: list[Node]) -> Iterable[tuple[Node, list[Node]]]:
    """Yields each layer above a node and the nodes from its reader down to the scaled product."""
    if is_call(node, *LAYERS):
        yield node, below
    for source in _sources(node):
        yield from _ways(source, [node, *below])


def _rows(layer: Node, chain: list[Node]) -> tuple[Tensor, list[tuple[Node, Any]]]:
    """Returns which channels reach the product, and what reads any on other ways, with the numbers of those it reads.

    Raises Refusal when the product of matrices, where there is one, is read unscaled too.
    """
    sizes = [1] * len(shape(layer))
    sizes[_channel_axis(layer)] = -1
    numbers: Any = torch.arange(_channels(layer)).view(sizes).expand(shape(layer))
    node, elsewhere = layer, []
    for i, below in enumerate(chain):
        for reader in readers(node):
            elsewhere += list(_leaves(reader, numbers)) if reader is not below else []
        if not _rearranges(below):
            behind = chain[i:]  # a product of matrices and what rearranges it, then the multiplication itself
            break
        node, numbers = below, _sent_through(below, numbers)
    if any(readers(above) != [below] for above, below in itertools.pairwise(behind)):
        raise Refusal("the product of matrices is read unscaled too")
    return torch.unique(numbers), elsewhere


def _leaves(reader: Node, numbers: Any) -> Iterator[tuple[Node, Any]]:
    """Yields what computes behind a reader, through rearrangements, with the numbers of the channels it is given."""
    if not _rearranges(reader):
        yield reader, numbers
        return
    for leaf in readers(reader):
        yield from _leaves(leaf, _sent_through(reader, numbers))


def _twin(graph: Graph, reader: Node, numbers: Any, rows: Tensor, product: Node) -> Node | None:
    """Returns a reader that is the same product of the same channels; None where it reads none of them."""
    read = torch.unique(torch.cat([part.flatten() for part in pytree.tree_leaves(numbers)]))
    if not torch.isin(rows, read).any():
        return None
    if reader.target is product.target and torch.equal(read, rows):
        scaled, factor = _scaled(graph, reader)
        if scaled is not None and shape(reader) == shape(scaled) and factor == _scaled(graph, product)[1]:
            return reader
    raise Refusal("the layer's output is read unscaled too")


def _rearranges(node: Node) -> bool:
    return is_call(node, *REARRANGEMENTS) or node.target is operator.getitem


def _sent_through(reader: Node, numbers: Any) -> Any:
    """Returns what a rearrangement makes of the channels' numbers; all of them where the reader computes."""
    if not _rearranges(reader):
        return numbers
    assert callable(reader.target)  # it calls a function
    return reader.target(numbers, *reader.args[1:], **reader.kwargs)


def _channel_axis(layer: Node) -> int:
    return len(shape(layer)) - 1 if is_call(layer, aten.linear) else 1


def _channels(layer: Node) -> int:
    return shape(layer)[_channel_axis(layer)]
