"""What opens an artifact and computes with it, independently of the converter that wrote it; one file each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.errors import ArtifactError

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


def runners_for(target: str, path: Path, function: str | None = None) -> Sequence[Opener | NotMeasured]:
    """Returns what opens an artifact in each runner there is; one at a time, for each takes memory.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
    """
    if target == "onnx":
        from mobilevit_deploy.runners.onnxruntime import OnnxRuntimeRunner

        return [partial(OnnxRuntimeRunner, path, optimization) for optimization in ("disabled", "all")]
    if target == "coreml":
        from mobilevit_deploy.runners.coreml import core_ml_runners
        from mobilevit_deploy.runners.mil import MilRunner

        return [partial(MilRunner, path, function=function), *core_ml_runners(path, function)]
    return [NotMeasured(target, {}, f"this version has no runner for {target}, so the file was not compared")]


def unrounded_pair(target: str, float32: Path, half: Path, function: str | None = None) -> tuple[Opener, Opener] | None:
    """Returns what opens two conversions of one graph so that both compute with rounded weights in float32.

    Rounding is the only thing in which they may differ, so a half-precision or int8 file can be held to float32's
    tolerance. None where the target's runner cannot do this.
    """
    if target == "coreml":
        from mobilevit_deploy.runners.mil import MilRunner

        return partial(MilRunner, float32, "half_constants"), partial(MilRunner, half, "widened", function)
    if target == "onnx":
        from mobilevit_deploy.runners.onnxruntime import OnnxRuntimeRunner
        from mobilevit_deploy.runners.unrounded_onnx import changes_for

        changes = changes_for(half)
        if changes is None:
            return None
        return (
            partial(OnnxRuntimeRunner, float32, "disabled", changes[0], "weights only"),
            partial(OnnxRuntimeRunner, half, "disabled", changes[1], "weights only"),
        )
    return None


def observe_values(
    target: str, path: Path, function: str | None, batch: Array, *, widened: bool = False
) -> list[Observed]:
    """Returns every value that an artifact computes on the way to its outputs, in order.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
        batch: as the artifact takes it, pixels where it takes those.
        widened: compute half precision in float32, where the runner can.

    Raises:
        ArtifactError: the artifact cannot be run, or no runner shows its values.
    """
    if target == "onnx":
        from mobilevit_deploy.runners.onnxruntime import observe_nodes

        return observe_nodes(path, batch)
    if target == "coreml":
        from mobilevit_deploy.runners.mil import MilRunner

        return MilRunner(path, "widened" if widened else "fp16_storage", function).observe_all(batch)
    raise ArtifactError(f"this version cannot look into what {target} computes")
