"""Computes once what does not depend on the image.

::

    permute(reshape(table[index], (49, 49, heads)), (2, 0, 1))   ->   a weight (heads, 49, 49)
    arange(n), ones(...), meshgrid(...), weight * scale, ...     ->   a weight
    sum(x[:, :0], 1)                                             ->   a weight of zeros
    x * 2 * scale.item(), scale a weight of 0.5                  ->   x * 1.0

Why it hurts: a relative position bias looked up from its table is a gather, which falls off the Neural
Engine, and ONNX Runtime looks it up for every image. A weight that the graph computes is also one that no
other rewrite can fold into. What is made of a slice without a pixel is constant too, and ONNX Runtime refuses
it. Constants are computed in the dtype of the graph, float64 while rewriting.

A constant above ``LARGEST`` elements that is larger than all it is made of, such as a vector expanded over a
map, stays computed: the file would grow by more than the time it saves is worth.
"""

import operator
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, is_call, is_random, op_name, readers
from mobilevit_deploy.graph.replay import compute
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

LARGEST = 2**18  # elements, 1 MB in float32
NUMBERS = (torch.SymInt, torch.SymFloat, torch.SymBool)  # that code reads out of a tensor
ARITHMETIC = ("_operator", "math", "torch")  # modules of what is computed of them
UNDEFINED = (aten.empty, aten.empty_strided, aten.empty_permuted, aten.new_empty, aten.empty_like)


class FoldConstants(Rewrite):
    """One weight in place of every call whose inputs are all constant and whose readers are not."""

    name: ClassVar[str] = "fold_constants"
    source: ClassVar[str] = "Apple's rules for the Neural Engine: a relative position bias is a constant"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        constant = _constants(graph)
        needed = []
        for node in constant:
            inside = {reader for reader in readers(node) if reader in constant and not _too_large(reader)}
            if node.op != "call_function" or not isinstance(node.meta["val"], (Tensor, *NUMBERS)) or _is_empty(node):
                continue
            if set(readers(node)) - inside:
                needed.append(node)
        return needed

    def rewrite(self, graph: Graph, node: Node) -> None:
        if any(reader.op == "output" for reader in readers(node)):
            raise Refusal("the constant is an output of the graph")
        if _too_large(node):
            raise Refusal(f"the constant would have {_elements(node)} elements, more than it is made of")
        if isinstance(node.meta["val"], NUMBERS):
            _put_number(graph, node)
            return
        weights = [item for item in _made_of(node) if item.op == "get_attr"]
        name = str(weights[0].target) if weights else "constant"
        value: Tensor = _compute(graph, node)
        with graph.before(node):
            graph.replace(node, graph.add_weight(f"{name}_{op_name(node) or 'part'}", value))


def _constants(graph: Graph) -> dict[Node, None]:
    """Returns the weights, and the calls that depend on nothing else, in order."""
    constant: dict[Node, None] = {}
    for node in graph.nodes:
        if "val" not in node.meta:
            continue
        if node.op == "get_attr" or (_is_pure(node) and all(item in constant for item in _read_by(node))):
            constant[node] = None
    return constant


def _is_empty(node: Node) -> bool:
    value = node.meta["val"]
    return isinstance(value, Tensor) and not value.numel()


def _read_by(node: Node) -> list[Node]:
    """Returns what a call depends on: nothing, where it has no number, or makes one of another tensor's type alone."""
    return [] if _is_empty(node) or _is_made_number(node) else node.all_input_nodes


def _is_made_number(node: Node) -> bool:
    """Tells whether a call makes one number; a map of them would be a larger file."""
    return is_call(node, aten.new_full, aten.new_zeros, aten.new_ones) and node.meta["val"].numel() == 1


def _is_pure(node: Node) -> bool:
    """Tells whether a call returns the same for the same inputs; none writes to them."""
    if node.op != "call_function":
        return False
    if node.target is operator.getitem:
        return True
    if isinstance(node.meta["val"], NUMBERS) and getattr(node.target, "__module__", "") in ARITHMETIC:
        return True
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and node.target.overloadpacket not in UNDEFINED
        and not is_random(node)
    )


def _made_of(node: Node) -> list[Node]:
    """Returns a node and everything that it depends on, inputs before what reads them."""
    found: dict[Node, None] = {}
    stack = [(node, False)]
    while stack:
        item, inputs_done = stack.pop()
        if inputs_done:
            found[item] = None
        elif item not in found:
            stack.append((item, True))
            stack.extend((source, False) for source in reversed(_read_by(item)) if source not in found)
    return list(found)


def _elements(node: Node) -> int:
    return sum(leaf.numel() for leaf in pytree.tree_leaves(node.meta["val"]) if isinstance(leaf, Tensor))


def _too_large(node: Node) -> bool:
    made_of = sum(_elements(item) for item in _made_of(node) if item.op == "get_attr")
    return _elements(node) > max(LARGEST, made_of)


def _put_number(graph: Graph, node: Node) -> None:
    """Lets the readers of a number have the number itself."""
    sizes = [size for reader in readers(node) for size in getattr(reader.meta.get("val"), "shape", ())]
    if not all(isinstance(size, int) for size in sizes):
        raise Refusal("the number is a size")
    number = _compute(graph, node)
    for reader in readers(node):
        given = (reader.args, dict(reader.kwargs))
        reader.args, reader.kwargs = pytree.tree_map(lambda item: number if item is node else item, given)
    graph.remove_unread(node)


def _compute(graph: Graph, node: Node) -> Any:
    """Runs a node on the weights."""
    values: dict[Node, Any] = {}
    for item in _made_of(node):
        if item.op == "get_attr":
            values[item] = graph.weight(item)
        elif _is_empty(item):
            values[item] = torch.empty_like(item.meta["val"], device="cpu")
        else:
            assert callable(item.target)  # _constants() has looked
            for source in item.all_input_nodes:
                if source not in values:  # it is asked for its type alone
                    values[source] = torch.empty(0, dtype=source.meta["val"].dtype)
            args, kwargs = pytree.tree_map_only(Node, values.__getitem__, (item.args, item.kwargs))
            values[item], _ = compute(item.target, args, kwargs)
    return values[node]
