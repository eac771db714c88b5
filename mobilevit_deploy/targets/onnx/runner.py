"""ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnxruntime
from onnx import ValueInfoProto, load_model_from_string

from mobilevit_deploy.errors import ArtifactError, RefusedError
from mobilevit_deploy.images.input_records import by_name
from mobilevit_deploy.runners.base import Array, Observed, Opener, Reading
from mobilevit_deploy.system.child_process import deadline
from mobilevit_deploy.targets.onnx.before_decision import change_to
from mobilevit_deploy.targets.onnx.exact import Change, change_for
from mobilevit_deploy.targets.onnx.files import has_shapes_elsewhere, load_onnx
from mobilevit_deploy.targets.onnx.inputs import takes_batch as takes_batch
from mobilevit_deploy.targets.onnx.optimizers import OPTIMIZERS as OPTIMIZERS

# What it logs as an error it raises as well; its log would show a file's own names unchanged on the terminal.
SILENT = 4
LONGEST_RUN_S = 300

# On an x86 without VNNI, pairs of int8 products are added in 16 bits, where they overflow. This sums in 32 everywhere.
EXACT_INT8 = ("session.x64quantprecision", "1")
# What ONNX Runtime 1.31 says where that is asked of a file in which several layers share a weight, as a detector's head
# does: it makes the other form of the weight once for each, under one name. Such a file is opened without it.
SHARED = "Attempt to replace the existing tensor"

Optimization = Literal["disabled", "all"]
ROUNDING = ("QuantizeLinear", "DequantizeLinear")


class OnnxRuntimeRunner:
    """An ONNX file in ONNX Runtime, with its graph optimisations off or all on."""

    name = "onnxruntime"

    def __init__(
        self,
        path: Path,
        optimization: Optimization,
        change: Change | None = None,
        rounding: str = "",
        without: Sequence[str] = (),
    ) -> None:
        """Opens the file.

        Args:
            path: of the file.
            optimization: of the graph, by ONNX Runtime.
            change: reads the file as another model.
            rounding: what that model leaves out, for reports.
            without: optimisers that are switched off, of ``optimizers.OPTIMIZERS``.

        Raises:
            ArtifactError: ONNX Runtime refuses it.
        """
        self.settings: Mapping[str, str] = {
            "graph_optimization": optimization,
            **({"rounding": rounding} if rounding else {}),
        }
        self._session = open_session(path, change(path) if change else str(path), optimization, without)
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: Array) -> Sequence[Array]:
        """Returns the outputs; raises ArtifactError when the file cannot be run, or does not come to an end."""
        options = onnxruntime.RunOptions()
        # A loop may count its turns in the graph; Python sees no Ctrl-C while native code runs.
        with deadline(LONGEST_RUN_S, lambda: setattr(options, "terminate", True)) as late:
            try:
                outputs: Sequence[Array] = self._session.run(None, by_name(batch, self._input), options)
            except Exception as error:
                if late.is_set():
                    raise ArtifactError("ONNX Runtime stopped it", f"a run may take {LONGEST_RUN_S} s") from error
                raise RefusedError(f"ONNX Runtime does not run the file: {str(error).splitlines()[0]}") from error
        return outputs


def open_all(path: Path, function: str | None = None) -> Sequence[Opener]:
    """Returns what opens a file with ONNX Runtime's graph optimisations off, and with all of them."""
    return [partial(OnnxRuntimeRunner, path, optimization) for optimization in get_args(Optimization)]


def open_unrounded(path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener:
    """Returns what opens a file as another model that rounds nothing."""
    return partial(OnnxRuntimeRunner, path, "disabled", change_for(reading, like), "weights only")


def observe(path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None) -> list[Observed]:
    """Returns what every node computes; raises ArtifactError."""
    return observe_nodes(path, batch, change_for(reading, like))


def open_before(path: Path, function: str | None, shapes: Sequence[tuple[int, ...]]) -> Opener:
    """Returns what opens a file with the numbers that it decides by in the place of its outputs."""
    return partial(OnnxRuntimeRunner, path, "disabled", change_to(shapes))


def open_without(path: Path, optimizers: Sequence[str]) -> Opener:
    """Returns what opens a file with all optimisations but some."""
    return partial(OnnxRuntimeRunner, path, "all", without=optimizers)


def open_session(
    path: Path, model: str | bytes, optimization: Optimization, without: Sequence[str] = ()
) -> onnxruntime.InferenceSession:
    """Returns a session whose int8 sums do not overflow, where ONNX Runtime opens the model so.

    Args:
        path: of the file, for messages.
        model: its path, or another model in its place.
        optimization: of the graph, by ONNX Runtime.
        without: optimisers that are switched off.

    Raises:
        ArtifactError: ONNX Runtime refuses it.
    """

    def opened(*entries: tuple[str, str]) -> onnxruntime.InferenceSession:
        options = _options(optimization, *entries)
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(model, options, providers=providers, disabled_optimizers=list(without))

    try:
        try:
            return opened(EXACT_INT8)
        except Exception as error:
            if SHARED not in str(error):
                raise
            return opened()
    except Exception as error:
        if has_shapes_elsewhere(path):
            raise ArtifactError(
                f"ONNX Runtime refuses {path.name}: sizes and axes that it needs at once stand in another file; "
                "onnx.save with save_as_external_data=True and size_threshold=1024 keeps them inside"
            ) from error
        raise RefusedError(
            f"ONNX Runtime refuses {path.name}: {str(error).splitlines()[0]}",
            "after an export, --opset with another version may help; a file from elsewhere may be damaged",
        ) from error


def _options(optimization: Optimization, *entries: tuple[str, str]) -> onnxruntime.SessionOptions:
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = {
        "disabled": levels.ORT_DISABLE_ALL,
        "all": levels.ORT_ENABLE_ALL,
    }[optimization]
    options.log_severity_level = SILENT
    # Threads that spin after a run slow the next runner down; parity needs no speed between runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for entry in entries:
        options.add_session_config_entry(*entry)
    return options


def observe_nodes(path: Path, batch: Array, change: Change | None = None) -> list[Observed]:
    """Returns what every node but those that only round computes, in order, with none fused; raises ArtifactError."""
    model = load_model_from_string(change(path)) if change else load_onnx(path, weights=True)
    known = {value.name for value in model.graph.output}
    kinds = {
        name: node.op_type
        for node in model.graph.node
        for name in node.output
        if name and (name in known or node.op_type not in ROUNDING)
    }
    model.graph.output.extend(ValueInfoProto(name=name) for name in kinds if name not in known)
    session = open_session(path, model.SerializeToString(), "disabled")
    names = list(kinds)
    if not names:  # of a model that computes nothing; of no names ONNX Runtime makes all outputs
        return []
    values = session.run(names, by_name(batch, session.get_inputs()[0].name))
    return [Observed(name, kinds[name], np.asarray(value)) for name, value in zip(names, values, strict=True)]
