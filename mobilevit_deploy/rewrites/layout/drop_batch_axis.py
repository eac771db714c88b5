"""Computes on the tokens of a single image without the axis of length 1 in front of them.

::

    linear(layer_norm(x))   (1, N, C)   ->   reshape(linear(layer_norm(reshape(x))))   (N, C) in between

for a linear layer and what is around it: norms, activations, sums and products, slices, concatenations, means.
Reshapes that meet cancel, so that two are left where tokens come in and go out (see ``merge_movements``).

Why it hurts: ONNX Runtime multiplies two matrices and adds the bias in one op, Gemm, which takes two axes. For three
there are a MatMul and an Add, a pass more, or a Reshape on both sides of every Gemm. Together with
``replace_token_mean`` and ``drop_key_bias``, lightvit_tiny takes 0.96 of the time (0.841 to 0.805 of the naive export,
seven alternating pairs, CPU time of one thread), with 197 Reshapes in place of 371.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten

ELEMENTWISE = (aten.gelu, aten.relu, aten.silu, aten.sigmoid, aten.tanh, aten.add, aten.sub, aten.mul, aten.div)
ON_CHANNELS = (aten.linear, aten.layer_norm)
ON_AXIS = {aten.cat: "dim", aten.slice: "dim", aten.mean: "dim"}  # the argument that names an axis


class DropBatchAxis(Rewrite):
    """Two axes in place of three, in every region of such ops that has a linear layer, where the batch is 1."""

    name: ClassVar[str] = "drop_batch_axis"
    source: ClassVar[str] = "the ops' definitions: none of these mixes what an axis of length 1 tells apart"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        region: set[Node] = set()
        waiting = [node for node in graph.calls(aten.linear) if _takes_two_axes(node)]
        while waiting:
            node = waiting.pop()
            if node not in region:
                region.add(node)
                waiting += [item for item in (*node.all_input_nodes, *readers(node)) if _takes_two_axes(item)]
        return [node for node in graph.nodes if node in region]

    def rewrite(self, graph: Graph, node: Node) -> None:
        assert isinstance(node.target, torch._ops.OpOverload)  # candidates() has looked
        given = arguments(node)
        for name in (name for op, name in ON_AXIS.items() if is_call(node, op)):
            given[name] = pytree.tree_map_only(int, lambda axis: axis % len(shape(_first(node))) - 1, given[name])
        with graph.before(node):
            values = pytree.tree_map_only(Node, lambda item: _without_batch(graph, item, node), given)
            named = [item.name for item in node.target._schema.arguments if item.kwarg_only]
            settings = {name: values.pop(name) for name in named}
            new = graph.call(node.target, *values.values(), like=node, **settings)
            graph.replace(node, graph.call(aten.reshape.default, new, list(shape(node)), like=node))


def _first(node: Node) -> Node:
    return node.all_input_nodes[0]


def _without_batch(graph: Graph, node: Node, reader: Node) -> Node:
    """Returns a tensor of three axes with two, for a reader; the same for all of its readers."""
    if len(shape(node)) != 3:
        return node
    for other in readers(node):
        if is_call(other, aten.reshape) and shape(other) == shape(node)[1:] and other < reader:
            return other
    return graph.call(aten.reshape.default, node, list(shape(node)[1:]), like=node)


def _takes_two_axes(node: Node) -> bool:
    """Tells whether a call computes the same without an axis of length 1 in front."""
    if not is_call(node, *ELEMENTWISE, *ON_CHANNELS, *ON_AXIS) or not _is_single(node):
        return False
    tensors: list[Any] = [item for item in node.all_input_nodes if isinstance(item.meta["val"], Tensor)]
    if is_call(node, *ELEMENTWISE):
        return all(_is_single(item) or len(shape(item)) < 3 for item in tensors)
    given = arguments(node)
    if is_call(node, *ON_CHANNELS):
        return _is_single(_first(node)) and len(given.get("normalized_shape", [0])) == 1
    axes = pytree.tree_leaves(given.get(next(name for op, name in ON_AXIS.items() if is_call(node, op))))
    return all(_is_single(item) for item in tensors) and all(axis is not None and axis % 3 for axis in axes)


def _is_single(node: Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor) and len(shape(node)) == 3 and shape(node)[0] == 1
