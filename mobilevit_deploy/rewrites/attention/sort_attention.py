"""Lets attention take queries, keys and values in the order in which they lie in memory.

::

    softmax(q @ transpose(P k)) @ (P v)   ->   softmax(q @ transpose(k)) @ v
    softmax((P q) @ transpose(k)) @ v     ->   P (softmax(q @ transpose(k)) @ v)

for a permutation P of the tokens. Numbers may be multiplied between product and softmax; a mask may not be added.

Why it hurts: where the same tokens are sorted into windows for another attention, the whole map's attention would
sort them back, which copies queries, keys and values. It needs no order of keys, and the order of queries can be
restored with that of the heads, behind it. What it gains was measured with ``sort_tokens``, see there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.axis_movement import Movement, Order, Step, Unfactorable, axes_of, follow, plan
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.graph.movement_chains import chain_above, moves, write_steps
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

HIGHEST_RANK = 8  # of one permutation; flatten_windows writes those above five axes in two


@dataclass(frozen=True)
class _Operand:
    """What a product reads: the tensor in memory, and the movement from there."""

    node: Node
    first: Node
    movement: Movement


class SortAttention(Rewrite):
    """Attention without the permutations of tokens in front; that of queries joins one that stands behind."""

    name: ClassVar[str] = "sort_attention"
    source: ClassVar[str] = "a sum over keys has no order; each row of queries is computed alone"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.matmul, aten.bmm):
            if _scores(node) is not None and any(_unsorted(node)):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        product = _scores(node)
        assert product is not None  # candidates() has looked
        keys, queries = _unsorted(node)
        if keys:
            key, value = _operand(product.args[1]), _operand(node.args[1])
            assert key is not None  # _unsorted() has looked
            assert value is not None  # as above
            _sort(graph, key, len(shape(key.node)) - 1)
            _sort(graph, value, len(shape(value.node)) - 2)
        if queries:
            query = _operand(product.args[0])
            assert query is not None  # as above
            axis = len(shape(query.node)) - 2
            _restore(graph, node, [query.movement.atoms[atom] for atom in sorted(queries)], queries)
            _sort(graph, query, axis)


def _scores(node: Node) -> Node | None:
    """Returns the product whose softmax over its last axis is multiplied with values; numbers may scale it."""
    weights = node.args[0]
    if not is_call(weights, aten.softmax) or readers(weights) != [node]:  # type: ignore[arg-type]  # is_call accepts nodes only
        return None
    given = arguments(weights)  # type: ignore[arg-type]  # as above
    if given["dim"] % len(shape(weights)) != len(shape(weights)) - 1:  # type: ignore[arg-type]  # as above
        return None
    scores = given["self"]
    while is_call(scores, aten.mul, aten.div) and not isinstance(scores.args[1], Node) and len(readers(scores)) == 1:
        scores = scores.args[0]
    return scores if is_call(scores, aten.matmul, aten.bmm) and len(readers(scores)) == 1 else None


def _operand(node: object) -> _Operand | None:
    if not isinstance(node, Node):
        return None
    first, steps = chain_above(node)
    try:
        return _Operand(node, first, follow(shape(first), steps))
    except Unfactorable:
        return None


def _unsorted(node: Node) -> tuple[Order, Order]:
    """Returns the atoms of keys, where those of values are alike, and of queries; none where they are in order."""
    product = _scores(node)
    assert product is not None  # callers have looked
    query, key, value = (_operand(item) for item in (*product.args[:2], node.args[1]))
    keys: Order = ()
    queries: Order = ()
    if key and value:
        last, second = axes_of(key.movement)[-1], axes_of(value.movement)[-2]
        if list(last) != sorted(last) and _pattern(key, last) == _pattern(value, second):
            keys = last
    if query and all(moves(reader) for reader in readers(node)):
        rows = axes_of(query.movement)[-2]
        queries = rows if list(rows) != sorted(rows) else ()
    return keys, queries


def _pattern(operand: _Operand, atoms: Order) -> list[tuple[int, int]]:
    """Returns size and rank of the atoms of an axis."""
    return [(operand.movement.atoms[atom], sorted(atoms).index(atom)) for atom in atoms]


def _sort(graph: Graph, operand: _Operand, axis: int) -> None:
    """Writes an operand anew, with the atoms of an axis in the order of memory."""
    axes = axes_of(operand.movement)
    axes[axis] = tuple(sorted(axes[axis]))
    movement = replace(operand.movement, order=tuple(atom for item in axes for atom in item))
    steps = plan(movement, HIGHEST_RANK)
    if steps is None:
        raise Refusal("the tokens have too many axes")
    with graph.before(operand.node):
        graph.replace(operand.node, write_steps(graph, operand.first, steps, like=operand.node))


def _restore(graph: Graph, node: Node, sizes: list[int], order: Order) -> None:
    """Gives the readers of a product its rows, which come in the order of memory, in the order that they had."""
    before = shape(node)
    lead = len(before) - 2
    axes = [lead + sorted(order).index(atom) for atom in order]
    cut = Step("reshape", (*before[:lead], *sizes, before[-1]))
    permute = Step("permute", (*range(lead), *axes, lead + len(sizes)))
    users = readers(node)
    with graph.before(node.next):
        restored = write_steps(graph, node, [cut, permute, Step("reshape", before)], like=node)
    for user in users:
        user.replace_input_with(node, restored)
