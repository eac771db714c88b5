"""Removes calls that return their input.

::

    dropout(x, train=False), clone(x), detach(x), contiguous(x)   ->   x

Why they hurt: each is a copy in some runtime, and each hides a convolution from the batch norm behind it.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph import Graph, arguments
from mobilevit_deploy.rewriting import Refusal, Rewrite

aten = torch.ops.aten

DROPOUTS = (aten.dropout, aten.feature_dropout, aten.alpha_dropout, aten.feature_alpha_dropout)
COPIES = (aten.clone, aten.detach, aten.detach_, aten.contiguous, aten.alias, aten.lift_fresh_copy)


class RemoveIdentities(Rewrite):
    """Removes dropout in evaluation mode and copies; tensors are values in an exported graph."""

    name: ClassVar[str] = "remove_identities"
    source: ClassVar[str] = "PyTorch's definitions of the ops in evaluation mode"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return graph.calls(*DROPOUTS, *COPIES)

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if given.get("train"):
            raise Refusal("the dropout is active: the model was captured in training mode")
        original = given.get("input", given.get("self"))
        assert isinstance(original, Node)  # the first argument of each of these ops is a tensor
        graph.replace(node, original)
