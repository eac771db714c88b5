"""Takes apart what the target's converter does not take, and nothing else.

::

    addcmul(x, a, b, value=0.5)   ->   x + a * b * 0.5        for Core ML, which has no addcmul

What a converter takes is asked of the converter itself, by ``lowering.py`` of the target's package. What it does not
take is replaced by PyTorch's own decomposition, or by a definition of ``definitions/`` where PyTorch has none or a
worse one. What comes out is taken apart again, until the converter takes all of it, and is mended by those rewrites of
the recipe that remove, compute, or avoid a fault.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from torch.fx import Node

from mobilevit_deploy.graph.graph import Graph, op_name
from mobilevit_deploy.rewrites.compatibility import definitions as definitions
from mobilevit_deploy.rewrites.decomposition import Indecomposable, isolate, put_in_place, take_apart
from mobilevit_deploy.rewrites.rewrite import Refusal, Rewrite

Takes = Callable[[Node], bool]

DEEPEST = 16  # parts of parts; some decompositions of PyTorch lead back to where they began


def takes_all(_node: Node) -> bool:
    """Tells that a call is taken, of a target that is not asked."""
    return True


class DecomposeUnsupported(Rewrite):
    """Calls that the target takes in place of one that it does not."""

    name: ClassVar[str] = "decompose_unsupported"
    source: ClassVar[str] = (
        "torch.export.default_decompositions and torch._decomp, PyTorch's own definitions of its ops"
    )

    def __init__(self, takes: Takes = takes_all, mend: Sequence[Rewrite] = ()) -> None:
        """Makes the rewrite for one target.

        Args:
            takes: tells whether the target's converter takes a call.
            mend: rewrites that are applied to what comes out, in their order.
        """
        self._takes = takes
        self._mend = mend

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for node in graph.nodes:
            if op_name(node) and not node._erased and not self._takes(node):
                yield node

    def rewrite(self, graph: Graph, node: Node) -> None:
        alone = isolate(graph, node)
        depth: dict[Node, int] = {}
        while lacking := next(iter(self.candidates(alone)), None):
            try:
                parts = put_in_place(alone, lacking, take_apart(lacking))
            except Indecomposable as reason:
                raise Refusal(str(reason)) from reason
            below = depth.get(lacking, 0) + 1
            if below > DEEPEST:
                raise Refusal(f"the parts of {op_name(node)} consist of themselves")
            depth.update(dict.fromkeys(parts, below))
            self._tidy(alone)
        put_in_place(graph, node, alone)

    def _tidy(self, graph: Graph) -> None:
        graph.remove_dead()
        for rewrite in self._mend:
            for node in rewrite.candidates(graph):
                try:
                    rewrite.rewrite(graph, node)
                except Refusal:
                    continue
        graph.remove_dead()
