"""Computes on tensors of more than five axes with axes merged that the op treats alike.

::

    x (B, h, 7, 7, 7, 7) + y (B, h, 7, 7, 7, 1)
        ->   reshape(reshape(x, (B * h * 343, 7)) + reshape(y, (B * h * 343, 1)), (B, h, 7, 7, 7, 7))
    mean(x (B, 2, 7, 2, 7, C), [2, 4])   ->   mean(reshape(permute(x), (4 B, 49, C)), 1)

for elementwise ops, reductions, softmax, concatenations, slices, products and norms. The reshapes and permutations
around them are movements, which ``flatten_windows`` writes with five axes; those that meet cancel.

Why it hurts: relative positions of rows and columns are added to an attention map of six axes (MViT), and windows of
windows are pooled in seven. An ML Program takes five.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.axis_groups import Groups, group_axes
from mobilevit_deploy.graph.axis_movement import MAX_RANK, Step
from mobilevit_deploy.graph.axis_roles import (
    EXPANDED,
    NAMED,
    PADDINGS,
    REDUCTIONS,
    AxisRoles,
    Unknown,
    axis_roles,
    looked_up,
)
from mobilevit_deploy.graph.graph import Graph, arguments, is_call, op_name, readers, shape
from mobilevit_deploy.graph.movement_chains import moves, write_steps
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class MergeAxes(Rewrite):
    """The same op on tensors of five axes at most, between reshapes."""

    name: ClassVar[str] = "merge_axes"
    source: ClassVar[str] = "the ops' definitions: broadcasting, and which axes each op names"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.nodes:
            if op_name(node) and not node._erased and not moves(node) and _largest_rank(node) > MAX_RANK:
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        try:
            known = axis_roles(node)
        except Unknown:
            raise Refusal(f"it is not known which axes {op_name(node)} treats alike") from None
        if 0 in known.lengths:
            raise Refusal("a tensor without elements")
        groups = group_axes(known.roles, known.single, MAX_RANK)
        if groups is None:
            raise Refusal(f"{op_name(node)} tells more than {MAX_RANK} axes apart")
        with graph.before(node):
            op, given = _merged(graph, node, known, groups)
            settings = {item.name: given.pop(item.name) for item in op._schema.arguments if item.kwarg_only}
            new = graph.call(op, *given.values(), like=node, **settings)
            if isinstance(new.meta["val"], Tensor):
                graph.replace(node, _parted(graph, new, node, known, groups))
                return
        for reader in readers(node):  # operator.getitem, one for each result
            with graph.before(reader):
                part = graph.graph.call_function(reader.target, (new, reader.args[1]))  # type: ignore[arg-type]  # as above
                part.meta = dict(reader.meta) | {"val": new.meta["val"][reader.args[1]]}
                graph.replace(reader, _parted(graph, part, reader, known, groups))


def _largest_rank(node: Node) -> int:
    values = pytree.tree_leaves([item.meta.get("val") for item in (node, *node.all_input_nodes)])
    return max((value.dim() for value in values if isinstance(value, Tensor)), default=0)


def _merged(graph: Graph, node: Node, known: AxisRoles, groups: Groups) -> tuple[torch._ops.OpOverload, dict[str, Any]]:
    """Returns the op and its arguments on merged axes; none that takes an axis away, so that places stay."""
    assert isinstance(node.target, torch._ops.OpOverload)  # candidates() has looked
    op, given = node.target, arguments(node)
    stacked = next(iter(known.named)) if is_call(node, aten.stack) else None
    for name in known.operands:
        given[name] = pytree.tree_map_only(Node, lambda item: _moved(graph, item, groups, stacked, node), given[name])
    for name in [name for ops, name in NAMED.items() if is_call(node, ops)]:
        places = [groups.place(axis % groups.rank) for axis in pytree.tree_leaves(given[name])]
        given[name] = places if isinstance(given[name], (list, tuple)) else places[0]
    if is_call(node, *REDUCTIONS) and "dim" in given and pytree.tree_leaves(given["dim"]) != [None]:
        places = sorted({groups.place(axis) for axis in known.reduced})
        given["dim"] = places[0] if isinstance(given["dim"], int) else places
    if "keepdim" in given:
        given["keepdim"] = True
    if is_call(node, *PADDINGS):
        given["pad"] = _padding(node, known, groups)
    for name in [name for ops, name in EXPANDED.items() if is_call(node, ops)]:
        given[name] = _expanded(node, known, groups)
    if is_call(node, aten.stack):
        return aten.cat.default, {"tensors": given["tensors"], "dim": given["dim"]}
    if is_call(node, aten.index):
        axis, places_read = looked_up(node)
        return aten.index_select.default, {"self": given["self"], "dim": groups.place(axis), "index": places_read}
    if is_call(node, aten.unbind):
        return aten.split.Tensor, {"self": given["self"], "split_size": 1, "dim": given["dim"]}
    if is_call(node, aten.select):
        at = given["index"] % known.lengths[next(iter(known.named))]
        return aten.slice.Tensor, {"self": given["self"], "dim": given["dim"], "start": at, "end": at + 1, "step": 1}
    return op, given


def _moved(graph: Graph, item: Node, groups: Groups, stacked: int | None, like: Node) -> Node:
    """Returns a tensor with merged axes; one of the weights is moved here and now."""
    before = shape(item)
    if not before:  # a single value goes with any axes
        return item
    if stacked is not None:
        before = (*before[:stacked], 1, *before[stacked:])
    steps = groups.merge(before)
    value = graph.weight(item)
    if value is None:
        return write_steps(graph, item, steps, like=like)
    for step in steps:
        value = value.reshape(step.values) if step.kind == "reshape" else value.permute(step.values)
    return graph.add_weight(str(item.target), value)


def _expanded(node: Node, known: AxisRoles, groups: Groups) -> list[int]:
    """Returns the sizes of an expansion, or how often a repetition repeats, for each group."""
    before = shape(arguments(node)["self"])
    before = (1,) * (groups.rank - len(before)) + before
    sizes = []
    for axes in groups.members:
        size = repeats = 1
        for axis in axes:
            size *= known.lengths[axis]
            repeats *= known.lengths[axis] // before[axis]
        sizes.append(repeats if is_call(node, aten.repeat) else size)
    return sizes


def _padding(node: Node, known: AxisRoles, groups: Groups) -> list[int]:
    """Returns how many values go before and behind each group, the last group first."""
    widths = list(arguments(node)["pad"])
    merged = [0] * (2 * len(groups.members))
    for axis in known.named:
        old, new = (
            2 * (count - 1 - at) for count, at in ((groups.rank, axis), (len(groups.members), groups.place(axis)))
        )
        merged[new : new + 2] = widths[old : old + 2]
    return merged


def _parted(graph: Graph, new: Node, node: Node, known: AxisRoles, groups: Groups) -> Node:
    """Returns a result with the axes that it had."""
    frame = list(known.lengths)
    for axis in known.reduced:
        frame[axis] = 1
    for axis in known.named:
        frame[axis] = shape(new)[groups.place(axis)]
    steps: list[Step] = groups.part(tuple(frame), shape(node))
    return write_steps(graph, new, steps, like=node)
