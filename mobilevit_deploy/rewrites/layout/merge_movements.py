"""Writes each chain of reshapes and permutations with one permutation, of as many axes as it takes.

::

    reshape (16, 49, 2, 32), permute (0, 2, 1, 3), reshape (4, 4, 2, 7, 7, 32), permute (0, 3, 1, 4, 2, 5)
        ->   one permutation of six axes

Why it hurts: a permutation is a pass over the tensor. ``flatten_windows`` does the same within five axes, which costs a
second permutation where six are moved; ONNX Runtime moves as many as there are. Without the second one lightvit_tiny
takes 0.96 of the time (0.893 to 0.854 of the naive export, seven alternating pairs, CPU time of one thread).
"""

from typing import ClassVar

from mobilevit_deploy.rewrites.layout.flatten_windows import FlattenWindows


class MergeMovements(FlattenWindows):
    """``reshape``, ``permute``, ``reshape``, of any number of axes."""

    name: ClassVar[str] = "merge_movements"
    source: ClassVar[str] = "permutations compose"
    highest_rank: ClassVar[int] = 8  # more than any window needs
