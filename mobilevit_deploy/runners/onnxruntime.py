"""ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import onnxruntime

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.runners import Array

Optimization = Literal["disabled", "all"]


class OnnxRuntimeRunner:
    """An ONNX file in ONNX Runtime, with its graph optimisations off or all on."""

    name = "onnxruntime"

    def __init__(self, path: Path, optimization: Optimization) -> None:
        """Opens the file; raises ConversionError when ONNX Runtime refuses it."""
        levels = onnxruntime.GraphOptimizationLevel
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = {
            "disabled": levels.ORT_DISABLE_ALL,
            "all": levels.ORT_ENABLE_ALL,
        }[optimization]
        options.log_severity_level = 3  # errors; a warning here speaks of ONNX Runtime's own fusions
        # Threads that spin after a run slow the next runner down; parity needs no speed between runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.settings: Mapping[str, str] = {"graph_optimization": optimization}
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ConversionError(
                f"ONNX Runtime refuses {path.name}: {str(error).splitlines()[0]}",
                "the exporter wrote what the runtime does not take: --opset with another version may help",
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: Array) -> Sequence[Array]:
        outputs: Sequence[Array] = self._session.run(None, {self._input: batch})
        return outputs
