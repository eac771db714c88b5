"""What opens an artifact and computes with it, independently of the converter that wrote it; one file each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]  # to compute with


class Runner(Protocol):
    """An opened artifact; costly work is done when it is opened.

    ``name`` and ``settings`` say in reports what computed the outputs.
    """

    name: str
    settings: Mapping[str, str]

    def run(self, batch: Array) -> Sequence[Array]:
        """Returns the outputs, in the artifact's order, for one input of the artifact's shape (B, C, H, W)."""


@dataclass(frozen=True)
class NotMeasured:
    """A runner that this machine does not have, and why."""

    runner: str
    settings: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class Observed:
    """A value inside an artifact: its name there, the op that computed it, and what it was."""

    name: str
    op: str
    value: Array


Opener = Callable[[], Runner]

# How half precision and int8 are read when values are looked at: as the runner computes them; summed in float32, and
# each value rounded once; computed in float32; or, for a float32 artifact, as if its weights had been rounded to half
# precision or int8.
Reading = Literal["rounded", "rounded once", "unrounded", "rounded constants"]
SUMS = "sums"  # in a runner's settings, with one of these
IN_HALF, IN_FLOAT32 = "float16", "float32"


def difference(expected: Array, found: Array) -> float:
    """Returns the largest difference over the largest magnitude; infinity where only one side is finite."""
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    before, after = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(before)
    if (finite != np.isfinite(after)).any():
        return float("inf")
    largest = np.abs(before[finite]).max(initial=0)
    distance = float(np.abs(after[finite] - before[finite]).max(initial=0))
    return distance / float(largest) if largest else distance
