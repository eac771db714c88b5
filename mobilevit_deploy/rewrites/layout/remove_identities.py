"""Removes calls that return their input.

::

    dropout(x, train=False), clone(x), detach(x), contiguous(x)          ->   x
    expand, repeat, view, reshape, permute, slice that change nothing    ->   x
    to(x, its own dtype), x * 1, x / 1, x + 0, x - 0                     ->   x
    x + expand(y), where x is as large as the sum; likewise -, *, /      ->   x + y

Why they hurt: each is a copy in some runtime, and each hides a convolution from the batch norm behind it. The
second and third lines are what indexing (``x[:, 0:]``), stochastic depth in evaluation mode and code that is
written for several dtypes leave behind. The last one is how separable attention weighs its values (Mehta and
Rastegari, "Separable Self-attention for Mobile Vision Transformers", 2022): arithmetic repeats ``y`` without a copy of
it, and litert-torch 0.10 moves the axes of such a copy wrongly ("operands don't have broadcast-compatible shapes").
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, shape
from mobilevit_deploy.rewrites.layout.merge_views import PERMUTATIONS, permutation
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten

DROPOUTS = (aten.dropout, aten.feature_dropout, aten.alpha_dropout, aten.feature_alpha_dropout)
COPIES = (aten.clone, aten.detach, aten.contiguous, aten.alias, aten.lift_fresh, aten.lift_fresh_copy)
CASTS = (aten.to, aten._to_copy, aten.type_as)
RESHAPES = (aten.view, aten.reshape, aten.flatten, aten.squeeze, aten.expand, aten.expand_as, aten.view_as)
EXPANSIONS = (aten.expand, aten.expand_as)
ARITHMETIC = (aten.mul, aten.div, aten.add, aten.sub)


class RemoveIdentities(Rewrite):
    """Removes dropout in evaluation mode, copies, and calls whose settings change nothing.

    Tensors are values in an exported graph: whether memory is shared makes no difference.
    """

    name: ClassVar[str] = "remove_identities"
    source: ClassVar[str] = "PyTorch's definitions of the ops in evaluation mode"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        yield from graph.calls(*DROPOUTS, *COPIES)
        for node in graph.calls(*CASTS, *RESHAPES, *PERMUTATIONS, *ARITHMETIC, aten.repeat, aten.slice):
            if _changes_nothing(node) or _needless_expansion(node):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given.get("train"):
            raise Refusal("the dropout is active: the model was captured in training mode")
        if not _changes_nothing(node) and (expanded := _needless_expansion(node)):
            operands = [item.args[0] if item is expanded else item for item in node.args]
            with graph.before(node):
                plain = graph.call(node.target, *operands, like=node, **node.kwargs)  # type: ignore[arg-type]
            graph.replace(node, plain)
            return
        original = given.get("input", given.get("self"))
        assert isinstance(original, Node)  # the first argument of each of these ops is a tensor
        graph.replace(node, original)


def _changes_nothing(node: Node) -> bool:
    x = node.args[0]
    if not isinstance(x, Node) or not _same_kind(node, x):
        return False
    if is_call(node, *CASTS, *RESHAPES):
        return True  # the same shape and dtype, and these ops keep the order of the elements
    if is_call(node, *PERMUTATIONS):
        return _keeps_order(node)
    if is_call(node, *ARITHMETIC):
        return _is_neutral(node)
    if is_call(node, aten.slice):
        given = arguments(node)
        return bool(given["step"] == 1)  # as long as before, in steps of 1: all of it
    return is_call(node, aten.repeat)  # as many elements as before: once


def _needless_expansion(node: Node) -> Node | None:
    """Returns an operand of arithmetic that was made larger, though the other operand makes the result as large."""
    operands = [item for item in node.args[:2] if isinstance(item, Node)]
    if not is_call(node, *ARITHMETIC) or len(operands) < 2:
        return None
    for expanded, other in (operands, reversed(operands)):
        if not is_call(expanded, *EXPANSIONS) or shape(other) != shape(node):
            continue
        y = expanded.args[0]
        # A number among tensors does not count for the result's dtype, a tensor that was expanded from one does.
        if isinstance(y, Node) and other.meta["val"].dtype == node.meta["val"].dtype == y.meta["val"].dtype:
            return expanded
    return None


def _same_kind(node: Node, x: Node) -> bool:
    before, after = x.meta["val"], node.meta["val"]
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return False
    return before.shape == after.shape and before.dtype == after.dtype and before.device == after.device


def _keeps_order(node: Node) -> bool:
    """Tells whether a permutation leaves every axis that is longer than 1 in its place among the others."""
    longer = [axis for axis in permutation(node) if shape(node.args[0])[axis] > 1]  # type: ignore[arg-type]  # a tensor
    return longer == sorted(longer)


def _is_neutral(node: Node) -> bool:
    given = arguments(node)
    other = given["other"]
    if not isinstance(other, (int, float)) or given.get("rounding_mode") is not None:
        return False
    return float(other) == (1.0 if is_call(node, aten.mul, aten.div) else 0.0)
