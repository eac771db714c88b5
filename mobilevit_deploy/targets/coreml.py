"""Core ML: coremltools on the exported program, to an ML Program; nothing model-specific."""

import contextlib
import io
import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from mobilevit_deploy.artifact import Artifact, ConversionRequest, measure_files
from mobilevit_deploy.blame import blame
from mobilevit_deploy.errors import REFUSAL_HINT, ConversionError
from mobilevit_deploy.graph import arguments, is_call, module_path

SUFFIX = ".mlpackage"
VERSION_NAME = "iOS"

# Specification versions by iOS release, from coremltools' own table of deployment targets.
SPECIFICATION = {15: 6, 16: 7, 17: 8, 18: 9}
# coremltools 9.0 writes this file, meant for ExecuTorch's debugger, beside what Manifest.json lists.
STRAY_FILE = "executorch_debug_handle_mapping.json"


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as an .mlpackage; input and outputs are float32 arrays whatever the precision.

    Raises:
        ConversionError: coremltools refused the graph, or wrote a later specification than the iOS floor has.
    """
    _refuse_tanh_gelu(request.program)
    with quiet_coreml():
        import coremltools  # here, because importing it logs and warns

        model = _convert(coremltools, request)
        specification = model.get_spec()
        _check_specification(specification.specificationVersion, request.version)
        model.short_description = request.metadata.get("mvd.description", "")
        model.user_defined_metadata.update(request.metadata)
        model.save(str(request.path))
    (request.path / STRAY_FILE).unlink(missing_ok=True)
    sha256, size = measure_files(request.path)
    return Artifact(request.path, "coreml", count_ops(specification), sha256, size)


def count_ops(specification: Any) -> dict[str, int]:
    """Returns how often each op stands in the ML Program's functions, constants left out, the most frequent first."""
    counts: Counter[str] = Counter()
    for function in specification.mlProgram.functions.values():
        for block in function.block_specializations.values():
            counts.update(operation.type for operation in block.operations if operation.type != "const")
    return dict(counts.most_common())


def _convert(coremltools: Any, request: ConversionRequest) -> Any:
    precision = {"fp16": coremltools.precision.FLOAT16, "fp32": coremltools.precision.FLOAT32}[request.precision]
    try:
        return coremltools.convert(
            request.program.run_decompositions({}),
            convert_to="mlprogram",
            inputs=[coremltools.TensorType(request.input.name, shape=request.input.shape, dtype=np.float32)],
            outputs=[coremltools.TensorType(output.name, dtype=np.float32) for output in request.outputs],
            minimum_deployment_target=getattr(coremltools.target, f"iOS{request.version}"),
            compute_precision=precision,
            skip_model_load=True,
        )
    except Exception as error:
        reason = blame(error, request.program)
        traceback.clear_frames(error.__traceback__)  # they hold a temporary folder of coremltools' open
        raise ConversionError(f"coremltools refused the graph: {reason}", REFUSAL_HINT) from error


def _refuse_tanh_gelu(program: ExportedProgram) -> None:
    """Raises ConversionError for the one op that coremltools 9.0 is known to convert to another without a word."""
    for node in program.graph.nodes:
        if is_call(node, torch.ops.aten.gelu) and arguments(node)["approximate"] == "tanh":
            raise ConversionError(
                f"coremltools turns the tanh form of GELU into the exact one (in {module_path(node) or 'the model'})",
                "leave --no-rewrite out, or take a recipe with decompose_tanh_gelu",
            )


def _check_specification(written: int, ios: int) -> None:
    if written > SPECIFICATION[ios]:
        needed = next((release for release, version in SPECIFICATION.items() if version >= written), None)
        raise ConversionError(
            f"coremltools wrote specification {written}, which iOS {ios} does not read",
            f"give --min-ios {needed}" if needed else None,
        )


@contextlib.contextmanager
def quiet_coreml() -> Iterator[None]:
    """Keeps coremltools' import warnings and progress bars from the user: off macOS it logs eight missing proxies."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
