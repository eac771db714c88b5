"""What opens an artifact and computes with it, independently of the converter that wrote it; one file each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

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
    """Why an artifact cannot be run here."""

    reason: str


Opener = Callable[[], Runner]


def runners_for(target: str, path: Path) -> Sequence[Opener] | NotMeasured:
    """Returns what opens an artifact in each runner that this machine has; one at a time, for each takes memory."""
    if target == "onnx":
        from mobilevit_deploy.runners.onnxruntime import OnnxRuntimeRunner

        return [partial(OnnxRuntimeRunner, path, optimization) for optimization in ("disabled", "all")]
    if target == "coreml":
        from mobilevit_deploy.runners.mil import MilRunner

        return [partial(MilRunner, path)]
    return NotMeasured(f"this version has no runner for {target}, so what the file computes was not compared")
