"""What a call does with each axis of its tensors, by which ``merge_axes`` writes it with fewer axes."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from mobilevit_deploy.graph.axis_movement import Shape
from mobilevit_deploy.graph.graph import Packet, arguments, is_call, is_random, shape, writes

aten = torch.ops.aten

# Computed value by value, although PyTorch does not tag them as such.
ELEMENTWISE = (
    *(aten.to, aten._to_copy, aten.alias, aten.contiguous, aten.detach),
    *(aten.where, aten.masked_fill, aten.hardswish, aten.log_sigmoid),
)
# One value for all along the axes that ``dim`` names, or along all axes where it names none.
REDUCTIONS = (
    *(aten.sum, aten.mean, aten.amax, aten.amin, aten.var, aten.std, aten.prod, aten.any, aten.all),
    *(aten.logsumexp, aten.linalg_vector_norm),
)
# The argument that names the axes that are not like the others.
NAMED: Mapping[Packet, str] = {
    **dict.fromkeys((aten.softmax, aten.log_softmax, aten.cumsum, aten.cat, aten.stack), "dim"),
    **dict.fromkeys((aten.slice, aten.select, aten.index_select, aten.narrow), "dim"),
    **dict.fromkeys((aten.split, aten.split_with_sizes, aten.chunk, aten.unbind), "dim"),
    **dict.fromkeys((aten.argmax, aten.argmin, aten.sort, aten.topk), "dim"),
    aten.flip: "dims",
}
# How many of the last axes are not like the others.
LAST: Mapping[Packet, int] = {
    **dict.fromkeys((aten.linear, aten.layer_norm, aten.rms_norm), 1),
    **dict.fromkeys((aten.matmul, aten.scaled_dot_product_attention), 2),
}
EXPANDED: Mapping[Packet, str] = {aten.expand: "size", aten.repeat: "repeats"}
PADDINGS = (aten.pad, aten.constant_pad_nd)
OPERANDS = ("self", "input", "tensors", "other", "query", "key", "value", "attn_mask")


class Unknown(Exception):  # noqa: N818 - an answer and not an error
    """A call of which nothing is known."""


@dataclass(frozen=True)
class AxisRoles:
    """The axes that all tensors of a call share, aligned at the last one as broadcasting does.

    Attributes:
        lengths: of the axes, the largest of any tensor.
        roles: of the axes; those of one role are treated alike.
        named: axes that stay by themselves.
        reduced: axes along which the result has one value.
        operands: the arguments whose tensors have these axes, by name.
    """

    lengths: Shape
    roles: tuple[Hashable, ...]
    named: frozenset[int]
    reduced: frozenset[int]
    operands: tuple[str, ...]

    @property
    def single(self) -> list[bool]:
        """Returns of each axis whether it has length 1 everywhere, and is like any other."""
        special = self.named | self.reduced
        return [length == 1 and axis not in special for axis, length in enumerate(self.lengths)]


def axis_roles(node: Node) -> AxisRoles:
    """Returns what a call does with its axes.

    Raises:
        Unknown: that is not known.
    """
    given = arguments(node)
    if writes(node) or (is_random(node) and given.get("dropout_p") != 0) or given.get("enable_gqa"):
        raise Unknown
    if is_call(node, *ELEMENTWISE) or torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return _roles(node, tuple(given))
    operands = tuple(name for name in OPERANDS if name in given)
    if is_call(node, *EXPANDED):
        before, rank = shape(given["self"]), len(shape(node))
        before = (1,) * (rank - len(before)) + before
        named = [axis for axis in range(rank) if 1 < before[axis] != shape(node)[axis]]
        return _roles(node, operands, named, lengths=shape(node))
    if is_call(node, *REDUCTIONS):
        rank = len(shape(given["self"]))
        axes = _axes(given.get("dim"), rank)
        return _roles(node, operands, reduced=axes or range(rank))
    if is_call(node, *PADDINGS):
        if given.get("mode", "constant") != "constant":
            raise Unknown
        rank = len(shape(given["self"]))
        return _roles(node, operands, [rank - 1 - i // 2 for i, width in enumerate(given["pad"]) if width])
    if is_call(node, aten.index):
        return _roles(node, operands, [looked_up(node)[0]])
    rank = max(len(shape(item)) for item in _tensors(given[name] for name in operands)) + is_call(node, aten.stack)
    last = next((count for op, count in LAST.items() if is_call(node, op)), None)
    if last is not None:
        last = len(given.get("normalized_shape", [0] * last))
        if any(len(shape(item)) < last for item in _tensors(given[name] for name in operands)):
            raise Unknown
        return _roles(node, operands, range(rank - last, rank))
    named_by = next((name for op, name in NAMED.items() if is_call(node, op)), None)
    if named_by is None or named_by not in given:
        raise Unknown
    axes = _axes(given[named_by], rank)
    if not axes:  # over the tensor as one row
        raise Unknown
    return _roles(node, operands, axes, rank=rank)


def looked_up(node: Node) -> tuple[int, Node]:
    """Returns the one axis along which an ``index`` reads places, and those; raises Unknown for any other."""
    found = [(axis, places) for axis, places in enumerate(arguments(node)["indices"]) if places is not None]
    if len(found) != 1 or len(shape(found[0][1])) != 1 or found[0][1].meta["val"].dtype == torch.bool:
        raise Unknown
    return found[0]


def _roles(
    node: Node,
    operands: tuple[str, ...],
    named: Iterable[int] = (),
    reduced: Iterable[int] = (),
    lengths: Shape | None = None,
    rank: int | None = None,
) -> AxisRoles:
    given = arguments(node)
    shapes = [shape(item) for item in _tensors(given[name] for name in operands)]
    if is_call(node, aten.stack):  # as the concatenation of tensors that have this axis too
        (axis,) = named
        shapes = [(*item[:axis], 1, *item[axis:]) for item in shapes]
    backwards = list(zip_longest(*(reversed(item) for item in shapes), fillvalue=1))
    backwards += [(1,) * len(shapes)] * ((rank or len(lengths or ())) - len(backwards))
    columns = backwards[::-1]
    lengths = lengths or tuple(max(column) for column in columns)
    named, reduced = frozenset(named), frozenset(reduced)
    roles: list[Hashable] = []
    for axis, (length, column) in enumerate(zip(lengths, columns, strict=True)):
        if axis in named:
            roles.append(axis)
        else:  # tensors along whose axis there is one value for all are read again and again
            roles.append((axis in reduced, *(part == length for part in column)))
    return AxisRoles(lengths, tuple(roles), named, reduced, operands)


def _tensors(values: Iterable[object]) -> list[Node]:
    leaves = pytree.tree_leaves(list(values))
    return [item for item in leaves if isinstance(item, Node) and isinstance(item.meta["val"], Tensor)]


def _axes(value: object, rank: int) -> list[int]:
    return [axis % rank for axis in pytree.tree_leaves(value) if isinstance(axis, int)] if rank else []
