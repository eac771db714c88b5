"""Axes that an op treats alike, as one axis: the same computation on tensors of fewer axes.

``x (B, h, 7, 7, 7, 7) + y (B, h, 7, 7, 7, 1)``: the first five axes run along together, and ``y`` is repeated along the
last. So ``x (B * h * 343, 7) + y (B * h * 343, 1)`` computes the same numbers in the same order.
"""

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mobilevit_deploy.graph.axis_movement import Order, Shape, Step


@dataclass(frozen=True)
class Groups:
    """The axes of a frame in groups of neighbours.

    Attributes:
        rank: of the frame, to which tensors with fewer axes are aligned as broadcasting does: at the last one.
        order: of the frame's axes, so that those of a group are neighbours.
        members: the axes of each group. Axes of length 1 stand with a neighbour, and alone only where an op names them.
    """

    rank: int
    order: Order
    members: tuple[Order, ...]

    def place(self, axis: int) -> int:
        """Returns the group that an axis of the frame is in."""
        return next(i for i, group in enumerate(self.members) if axis in group)

    def merge(self, before: Shape) -> list[Step]:
        """Returns the steps that give a tensor one axis for each group."""
        full = (1,) * (self.rank - len(before)) + before
        return [*self._permute(full), Step("reshape", tuple(math.prod(full[i] for i in axes) for axes in self.members))]

    def part(self, frame: Shape, after: Shape) -> list[Step]:
        """Returns the steps from one axis for each group back to the axes of the frame, and from those to ``after``."""
        ordered = Step("reshape", tuple(frame[axis] for axis in self.order))
        back = tuple(self.order.index(axis) for axis in range(self.rank))
        steps = [ordered, Step("permute", back)] if self._moves else []
        return [*steps, Step("reshape", after)]

    @property
    def _moves(self) -> bool:
        return self.order != tuple(range(self.rank))

    def _permute(self, full: Shape) -> list[Step]:
        return [Step("reshape", full), Step("permute", self.order)] if self._moves else []


def group_axes(roles: Sequence[Hashable], single: Sequence[bool], max_rank: int) -> Groups | None:
    """Groups the axes that an op treats alike; moves them together only where neighbours alone do not suffice.

    Args:
        roles: of each axis; axes of one role are treated alike.
        single: whether an axis has length 1 in all tensors and any role will do.
        max_rank: of the result.

    Returns:
        None where the roles are more than ``max_rank``.
    """
    filled = _fill(roles, single)
    axes = range(len(filled))
    first = {role: filled.index(role) for role in filled}
    for order in (tuple(axes), tuple(sorted(axes, key=lambda axis: first[filled[axis]]))):
        members = tuple(tuple(group) for _, group in itertools.groupby(order, key=lambda axis: filled[axis]))
        if len(members) <= max_rank:
            return Groups(len(filled), order, members)
    return None


def _fill(roles: Sequence[Hashable], single: Sequence[bool]) -> list[Hashable]:
    """Returns roles in which an axis of length 1 has that of the axis in front of it, or of the first that has one."""
    known = [role for role, is_single in zip(roles, single, strict=True) if not is_single]
    current = known[0] if known else None
    filled = []
    for role, is_single in zip(roles, single, strict=True):
        current = current if is_single else role
        filled.append(current)
    return filled
