"""What opens an artifact and computes with it, independently of the converter that wrote it; one file each."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


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


class TargetRunners(Protocol):
    """What the file in this folder that has a target's name provides."""

    def open_all(self, path: Path, function: str | None = None) -> Sequence[Opener | NotMeasured]:
        """See ``runners_for``."""

    def open_unrounded(self, path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener | None:
        """See ``unrounded``."""

    def observe(
        self, path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None
    ) -> list[Observed]:
        """See ``observe_values``."""

    def takes_batch(self, path: Path, batch: int) -> bool:
        """Tells whether a batch can be run; raises ArtifactError for a damaged file."""


def runners_of(target: str) -> TargetRunners:
    """Returns what runs a target's artifacts."""
    return cast(TargetRunners, importlib.import_module(f"mobilevit_deploy.runners.{target}"))


def runners_for(target: str, path: Path, function: str | None = None) -> Sequence[Opener | NotMeasured]:
    """Returns what opens an artifact in each runner there is; one at a time, for each takes memory.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
    """
    return runners_of(target).open_all(path, function)


def unrounded(
    target: str,
    path: Path,
    function: str | None = None,
    reading: Reading = "unrounded",
    like: Path | None = None,
) -> Opener | None:
    """Returns what opens an artifact so that it is computed in float32, and nothing is rounded on the way.

    Two conversions of one graph then differ in nothing, so a half-precision or int8 file can be held to float32's
    tolerance. None where the target's runner cannot do this.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
        reading: "rounded constants" for a float32 artifact to compare with.
        like: the artifact that says which of the float32 one's weights are rounded, and to what.
    """
    return runners_of(target).open_unrounded(path, function, reading, like)


def observe_values(
    target: str,
    path: Path,
    function: str | None,
    batch: Array,
    reading: Reading = "rounded",
    like: Path | None = None,
) -> list[Observed]:
    """Returns every value that an artifact computes on the way to its outputs, in order.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
        batch: as the artifact takes it, pixels where it takes those.
        reading: of half precision and int8, where the runner can compute them otherwise.
        like: see ``unrounded``.

    Raises:
        ArtifactError: the artifact cannot be run, or no runner shows its values.
    """
    return runners_of(target).observe(path, function, batch, reading, like)
