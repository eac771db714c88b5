"""Gives each part of a concatenation its own linear layer.

::

    linear(cat([a, b], -1), W, bias)                    ->   linear(a, W_a, bias) + linear(b, W_b)
    linear(cat([a, expand(g, like a)], -1), W, bias)    ->   linear(a, W_a, bias) + linear(g, W_g)

Why it hurts: the concatenation copies both parts. Where one of them is a single token repeated for all, the
layer multiplies the same row again for every token; the addition repeats the product instead. Without the
concatenation, among other changes, lightvit_tiny went from 24.6 to 22.1 ms (ONNX Runtime, one thread).
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.normalization.fold_batch_norm import layer_weights
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

REPEATS = (aten.expand, aten.expand_as, aten.repeat)


class SplitConcatLinear(Rewrite):
    """One ``linear`` per part and their sum, in place of ``cat`` and ``linear``."""

    name: ClassVar[str] = "split_concat_linear"
    source: ClassVar[str] = "a product with a row of blocks is the sum of the blocks' products; the measurement above"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.linear):
            cat = node.args[0]
            if is_call(cat, aten.cat) and arguments(cat)["dim"] in (-1, len(shape(cat)) - 1):  # type: ignore[arg-type]  # is_call accepts nodes only
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        cat = node.args[0]
        assert isinstance(cat, Node)  # candidates() has looked
        parts: list[Node] = arguments(cat)["tensors"]
        rank = len(shape(cat))
        if any(len(shape(part)) != rank for part in parts):
            raise Refusal("a part is empty, of another rank")
        if len(readers(cat)) != 1:
            raise Refusal("the concatenation is read elsewhere too")
        sources = _sources(parts)
        if sources == parts and shape(node)[-1] > shape(cat)[-1]:
            raise Refusal("the layer widens: adding its outputs moves more than the concatenation")
        weight, bias = layer_weights(graph, node)
        name = str(arguments(node)["weight"].target)
        total: Node | None = None
        start = 0
        with graph.before(node):
            for i, (part, source) in enumerate(zip(parts, sources, strict=True)):
                block = weight[:, start : start + shape(part)[-1]]
                start += shape(part)[-1]
                values = [source, graph.add_weight(f"{name}_{i}", block)]
                if bias is not None and i == 0:
                    values.append(graph.add_weight(str(arguments(node)["bias"].target), bias))
                product = graph.call(aten.linear.default, *values, like=node)
                total = product if total is None else graph.call(aten.add.Tensor, total, product, like=node)
        assert total is not None  # a concatenation has parts
        graph.replace(node, total)


def _sources(parts: list[Node]) -> list[Node]:
    """Returns the parts as they were before they were repeated, as long as one is left that has the full shape."""
    sources = [_unrepeated(part) for part in parts]
    full = tuple(max(lengths) for lengths in zip(*(shape(source)[:-1] for source in sources), strict=True))
    return sources if full == shape(parts[0])[:-1] else [parts[0], *sources[1:]]


def _unrepeated(part: Node) -> Node:
    if not is_call(part, *REPEATS):
        return part
    source = part.args[0]
    assert isinstance(source, Node)  # the first argument of each of these ops is a tensor
    before, after = shape(source), shape(part)
    same_rank = len(before) == len(after) and before[-1] == after[-1]
    only_ones = all(old in (1, new) for old, new in zip(before, after, strict=False))
    return source if same_rank and only_ones else part
