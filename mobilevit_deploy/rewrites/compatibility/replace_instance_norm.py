"""Writes an instance norm that uses running statistics as the batch norm that it is.

::

    instance_norm(x, ..., mean, variance, use_input_stats=False)   ->   batch_norm(x, ..., mean, variance)

Why it hurts: coremltools 9.0 does not read the running statistics and normalises by those of the image. As a batch
norm it folds into its neighbours, too.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments
from mobilevit_deploy.rewrites.rewrite import Rewrite

aten = torch.ops.aten


class ReplaceInstanceNorm(Rewrite):
    """``batch_norm`` in place of ``instance_norm`` with ``track_running_stats`` in evaluation mode."""

    name: ClassVar[str] = "replace_instance_norm"
    source: ClassVar[str] = "PyTorch's definitions of the two norms in evaluation mode"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        return (node for node in graph.calls(aten.instance_norm) if has_running_statistics(node))

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        read = [given[name] for name in ("input", "weight", "bias", "running_mean", "running_var")]
        with graph.before(node):
            new = graph.call(aten.batch_norm.default, *read, False, given["momentum"], given["eps"], False, like=node)
            graph.replace(node, new)


def has_running_statistics(node: Node) -> bool:
    """Tells whether an instance norm normalises by statistics of its own."""
    return not arguments(node)["use_input_stats"]
