"""Gives a linear layer without a bias one of zeros, where its result is added to something.

::

    linear(x, weight) + y   ->   linear(x, weight, zeros) + y

Why it helps: Core AI's compiler (coreai-core 1.0.0b3) moves the reshape in front of such a layer behind it. Where the
layer's input is a view (1, H * W, C) of a map (1, H, W, C), it then adds (1, H, W, C) to (1, H * W, C), and aborts:
``LLVM ERROR: Failed to infer result type(s): "coreai.decomposable.broadcasting_add"``. Seen with LightViT's patch
merging as its authors write it. A bias, even of zeros, keeps the reshape where it was.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, arguments, is_call, readers, shape
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

aten = torch.ops.aten


class AddBias(Rewrite):
    """``linear`` with a bias of zeros in place of none, in front of ``add``."""

    name: ClassVar[str] = "add_bias"
    source: ClassVar[str] = "the definition of a linear layer: its bias is added, and zeros change nothing"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.calls(aten.linear):
            if arguments(node)["bias"] is None and any(is_call(reader, aten.add) for reader in readers(node)):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        given = arguments(node)
        if len(shape(given["weight"])) == 1:
            raise Refusal("the layer has one output, and no axis for it")
        zeros = torch.zeros(shape(node)[-1], dtype=node.meta["val"].dtype)
        with graph.before(node):
            bias = graph.add_weight("bias_of_zeros", zeros)
        node.args, node.kwargs = (given["input"], given["weight"], bias), {}
