"""Writes complex arithmetic with real numbers, and Fourier transforms as matrix products.

::

    view_as_real(view_as_complex(x) * z)   ->   stack([a * c - b * d, a * d + b * c], -1)        x = a + ib, z = c + id
    _fft_r2c(x, [-1])                      ->   x @ cosines, x @ -sines

A complex tensor becomes two real ones, from where it is made to where it is read as real numbers again: rotary
embeddings that are written with ``polar``, spectral filters between ``rfft2`` and ``irfft2``. Sizes are fixed, so a
transform is a product with a constant matrix, exact and in one operation.
Why it hurts: no target has complex numbers as tensors, and coremltools has no Fourier transform either.
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.graph import Graph, is_call, op_name
from mobilevit_deploy.rewrites.compatibility.definitions.complex_numbers import PARTWISE, RULES, Pair
from mobilevit_deploy.rewrites.decomposition import Indecomposable, put_in_place, take_apart, write
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class ReplaceComplex(Rewrite):
    """Two real tensors in place of each complex one, between the calls where these begin and end."""

    name: ClassVar[str] = "replace_complex"
    source: ClassVar[str] = "the definitions of complex arithmetic and of the discrete Fourier transform"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        done: set[Node] = set()
        for node in graph.nodes:
            if not node._erased and node not in done and _touches(node):
                done.update(_connected(node))
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        members = _connected(node)
        if any(item.op in ("placeholder", "output") for item in members):
            raise Refusal("complex numbers go into the model, or come out of it")
        for member in members:
            _check(member)
        while unknown := [item for item in members if not _has_rule(item)]:
            for item in unknown:
                members.discard(item)
                members.update(part for part in put_in_place(graph, item, take_apart(item)) if _touches(part))
        pairs: dict[Node, Any] = {}
        for item in graph.nodes:
            if item in members and not item._erased:
                _write_pair(graph, item, pairs)


def _is_complex(node: Node) -> bool:
    values = pytree.tree_leaves(node.meta.get("val"))
    return any(isinstance(value, Tensor) and value.is_complex() for value in values)


def _touches(node: Node) -> bool:
    return _is_complex(node) or any(_is_complex(item) for item in node.all_input_nodes)


def _connected(node: Node) -> set[Node]:
    """Returns the nodes that read or give the complex numbers that a node reads or gives, and so on."""
    found: set[Node] = set()
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if item in found:
            continue
        found.add(item)
        waiting += [source for source in item.all_input_nodes if _is_complex(source)]
        waiting += list(item.users) if _is_complex(item) else []
    return found


def _check(node: Node) -> None:
    """Raises Refusal for a call that has no rule, nor all of its parts."""
    if _has_rule(node):
        return
    try:
        parts = take_apart(node)
    except Indecomposable as reason:
        raise Refusal(f"nothing is known of {op_name(node) or node.target} of complex numbers: {reason}") from reason
    for part in parts.nodes:
        if part.op == "call_function" and _touches(part):
            _check(part)


def _has_rule(node: Node) -> bool:
    return node.op == "get_attr" or node.target is operator.getitem or is_call(node, *RULES, *PARTWISE)


def _write_pair(graph: Graph, node: Node, pairs: dict[Node, Any]) -> None:
    """Writes a call on pairs; where its result is real, its readers read that."""
    if node.target is operator.getitem:
        source = node.all_input_nodes[0]
        if source in pairs:
            pairs[node] = Pair(*(part[node.args[1]] for part in pairs[source]))
        return
    if node.op == "get_attr":
        value = graph.weight(node)
        assert value is not None  # a get_attr node reads a weight
        dtype = torch.get_default_dtype()  # that of the graph while it is rewritten, whatever the weight's is
        with graph.before(node):
            parts = {"real": value.real, "imag": value.imag}
            pairs[node] = Pair(*(graph.add_weight(f"{node.target}_{name}", x.to(dtype)) for name, x in parts.items()))
        return
    args, settings = pytree.tree_map_only(Node, lambda item: pairs.get(item, item), (node.args, node.kwargs))
    with graph.before(node):
        result = write(graph, _rule(node), args, settings, like=node)
    if isinstance(result, Node):
        graph.replace(node, result)
    else:
        pairs[node] = result


def _rule(node: Node) -> Callable[..., Any]:
    assert isinstance(node.target, torch._ops.OpOverload)  # callers ask of calls that have a rule
    if node.target.overloadpacket in RULES:
        return RULES[node.target.overloadpacket]
    op = node.target

    def each_part(*args: Any, **settings: Any) -> Pair:
        return Pair(*(op(*_part(args, i), **_part(settings, i)) for i in range(2)))

    return each_part


def _part(tree: Any, place: int) -> Any:
    return pytree.tree_map(lambda item: item[place] if isinstance(item, Pair) else item, tree, is_leaf=_is_pair)


def _is_pair(item: Any) -> bool:
    return isinstance(item, Pair)
