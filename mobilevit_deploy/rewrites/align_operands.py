"""Permutes the operands of a matrix product in the one way that ONNX Runtime reads without copying.

::

    reshape (1, N, h, d), permute (0, 2, 1, 3)   ->   reshape (N, 1, h, d), permute (1, 2, 0, 3)
    reshape (1, N, h, d), permute (0, 2, 3, 1)   ->   reshape (N, 1, h, d), permute (1, 2, 3, 0)

Both give heads (1, h, N, d), or (1, h, d, N), from tokens (1, N, h * d).

Why it hurts: ONNX Runtime fuses a Transpose into the MatMul that reads it where it moves the first axis behind
the others, to the rows or the columns (FusedMatMul with transBatchA and transBatchB), and copies the tensor otherwise.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch.fx import Node

from mobilevit_deploy.chains import chain_above, write_steps
from mobilevit_deploy.graph import Graph, is_call, shape
from mobilevit_deploy.movement import Step, Unfactorable, follow, plan
from mobilevit_deploy.rewriting import Rewrite

aten = torch.ops.aten


class AlignOperands(Rewrite):
    """``reshape`` and a ``permute`` that moves the first axis behind the heads, in front of a matrix product."""

    name: ClassVar[str] = "align_operands"
    source: ClassVar[str] = "ONNX Runtime, core/optimizer/matmul_transpose_fusion.cc"

    def candidates(self, graph: Graph) -> Iterable[Node]:
        for product in graph.calls(aten.matmul, aten.bmm):
            for operand in dict.fromkeys(product.all_input_nodes):
                if not operand._erased and _aligned(operand) is not None:
                    yield operand

    def rewrite(self, graph: Graph, node: Node) -> None:
        steps = _aligned(node)
        assert steps is not None  # candidates() has looked
        first, _ = chain_above(node)
        with graph.before(node):
            graph.replace(node, write_steps(graph, first, steps, like=node))


def _aligned(node: Node) -> list[Step] | None:
    """Returns the steps that ONNX Runtime fuses, where a chain has others and they are no more."""
    first, steps = chain_above(node)
    if not steps or len(shape(node)) < 3 or _is_fused(steps[-1]):
        return None
    try:
        new = plan(follow(shape(first), steps))
    except Unfactorable:
        return None
    return new if new and len(new) <= len(steps) and _is_fused(new[-1]) else None


def _is_fused(step: Step) -> bool:
    """Tells whether a step moves the first axis to the last place or the last but one, and nothing else."""
    rest = [axis for axis in step.values if axis != 0]
    behind = step.values.index(0) >= len(step.values) - 2 if step.kind == "permute" else False
    return step.kind == "permute" and behind and rest == sorted(rest)
