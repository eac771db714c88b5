"""Stand-ins for what only Apple's systems have; everything else in the tests is the shipped code.

``CoreMLModel`` stands for ``coremltools.models.MLModel``, which predicts on macOS only: the same constructor, and
``predict`` from names to arrays or images. What it computes comes from the evaluator of packages.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from mobilevit_deploy.targets.coreml.evaluator import MilRunner


class CoreMLModel:
    """A loaded package, as coremltools hands it to Python on a Mac."""

    opened: ClassVar[list[tuple[str, str | None]]] = []

    def __init__(self, path: str, compute_units: Any, function_name: str | None = None) -> None:
        if "broken" in path:
            raise RuntimeError("Error compiling model: the compiler said why.")
        self._runner = MilRunner(Path(path), function=function_name)
        self.opened.append((compute_units.name, function_name))

    def predict(self, data: dict[str, Any]) -> dict[str, Any]:
        (feature,) = self._runner.inputs
        value = data[feature.name]
        if feature.kind == "image":
            assert isinstance(value, Image.Image), "an image model takes an image"
            pixels = np.atleast_3d(np.asarray(value)).transpose(2, 0, 1)[None].astype(np.float32)  # (1, C, H, W), RGB
            value = pixels[:, ::-1] if feature.color == "BGR" else pixels
        results: dict[str, Any] = {}
        # In another order than the model's: a dictionary promises none.
        for output, array in reversed(list(zip(self._runner.outputs, self._runner.run(value), strict=True))):
            if output.kind == "probabilities":
                results[output.name] = dict(zip(output.labels, array[0].tolist(), strict=True))
            else:
                results[output.name] = array
        return results


def become_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this machine a Mac as far as predictions go; for after an export, which uses the real class to convert."""
    import coremltools

    monkeypatch.setattr("mobilevit_deploy.targets.coreml.runner.sys.platform", "darwin")
    monkeypatch.setattr(coremltools.models, "MLModel", CoreMLModel)
    monkeypatch.setattr(CoreMLModel, "opened", [])
