"""Core ML itself, through coremltools: on a Mac only, and there on the compute units that its chip has."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.images.input_records import by_name
from mobilevit_deploy.runners.base import Array, NotMeasured, Observed, Opener, Reading, Runner
from mobilevit_deploy.targets.coreml.before_decision import BeforeDecision
from mobilevit_deploy.targets.coreml.detections import in_pixels
from mobilevit_deploy.targets.coreml.evaluator import READINGS, MilRunner
from mobilevit_deploy.targets.coreml.mil.features import Feature, describe
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.mil.values import Mode
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

# CPU only is the reference of Apple's own kernels; all units lets Core ML choose, as an app does.
COMPUTE_UNITS = ("CPU_ONLY", "ALL")


def open_all(path: Path, function: str | None = None) -> "list[Opener | NotMeasured]":
    """Returns what opens a package op by op, on any machine, and in Core ML."""
    return [partial(_open_evaluator, path, "fp16_storage", function), *core_ml_runners(path, function)]


def open_unrounded(path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener:
    """Returns what opens a package so that it is computed in float32."""
    return partial(_open_evaluator, path, READINGS[reading], function, like)


def _open_evaluator(path: Path, mode: Mode, function: str | None, like: Path | None = None) -> Runner:
    return in_pixels(MilRunner(path, mode, function, like))


def observe(path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None) -> list[Observed]:
    """Returns what every operation computes; raises ArtifactError."""
    return MilRunner(path, READINGS[reading], function, like).observe_all(batch)


def open_before(path: Path, function: str | None, shapes: Sequence[tuple[int, ...]]) -> Opener:
    """Returns what opens a package with the numbers that it decides by in the place of its outputs."""
    return partial(BeforeDecision, path, function, shapes)


def takes_batch(path: Path, batch: int) -> bool:
    """Tells whether one prediction of a package takes so many images; raises ArtifactError."""
    description = Package(path).network.description
    shape = describe(description.input[0]).shape if len(description.input) == 1 else ()
    return shape[:1] == (batch,)


def core_ml_runners(path: Path, function: str | None) -> list[Opener | NotMeasured]:
    """Returns what opens a package in Core ML on each choice of compute units; off macOS, that nothing does."""
    if sys.platform == "darwin":
        return [partial(_open_core_ml, path, units, function) for units in COMPUTE_UNITS]
    reason = "Core ML itself runs on macOS only"
    return [NotMeasured("coreml", {"compute_units": units}, reason) for units in COMPUTE_UNITS]


def _open_core_ml(path: Path, units: str, function: str | None) -> Runner:
    return in_pixels(CoreMLRunner(path, units, function))


class CoreMLRunner:
    """An ``.mlpackage`` in Core ML."""

    name = "coreml"

    def __init__(self, path: Path, compute_units: str, function: str | None = None) -> None:
        """Compiles and loads a package; raises ArtifactError when Core ML does not.

        That is no refusal of the file: the Mac may be older than what the package is for.

        Args:
            path: the folder.
            compute_units: a member of ``coremltools.ComputeUnit``.
            function: of a model that has more than one; its default function if none is named.
        """
        described = MilRunner(path, function=function)  # reads the names; Core ML returns outputs in no order
        self.inputs = described.inputs
        self.outputs = described.outputs
        self.settings: Mapping[str, str] = {"compute_units": compute_units}
        try:
            with quiet_coreml():
                import coremltools

                units = coremltools.ComputeUnit[compute_units]
                self._model = coremltools.models.MLModel(str(path), compute_units=units, function_name=function)
        except Exception as error:  # what Core ML raises reaches Python as many kinds
            raise ArtifactError(f"Core ML does not load {path.name}: {str(error).splitlines()[0]}") from error

    def run(self, batch: Array) -> Sequence[Array]:
        try:
            results = self._model.predict(self._prepare(batch))
        except Exception as error:
            raise ArtifactError(f"Core ML does not run the model: {str(error).splitlines()[0]}") from error
        return [_in_order(results[feature.name], feature) for feature in self.outputs]

    def _prepare(self, batch: Array) -> dict[str, Any]:
        """Returns arrays in a type that Core ML has, and an image's pixel values, (1, C, H, W), as what it takes."""
        given = by_name(batch, self.inputs[0].name)
        if self.inputs[0].kind != "image":
            return {
                name: value.astype(np.int32 if value.dtype.kind in "iu" else np.float32)
                for name, value in given.items()
            }
        return {self.inputs[0].name: self._image(batch)}

    def _image(self, batch: Array) -> Any:
        from PIL import Image

        pixels = batch[0].round().clip(0, 255).astype(np.uint8)  # (C, H, W)
        if len(pixels) == 1:
            return Image.fromarray(pixels[0])
        # Core ML is given RGB, and hands the model the layout that it asks for.
        ordered = pixels[::-1] if self.inputs[0].color == "BGR" else pixels
        return Image.fromarray(np.ascontiguousarray(ordered.transpose(1, 2, 0)))


def _in_order(value: Any, feature: Feature) -> Array:
    """Returns an output as an array; probabilities come as a dictionary by label."""
    if feature.kind == "probabilities":
        return np.array([[value[label] for label in feature.labels]], dtype=np.float32)
    return np.asarray(value, dtype=np.float32)
