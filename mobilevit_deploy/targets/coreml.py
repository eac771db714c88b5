"""Core ML: coremltools on the exported program, to an ML Program; nothing model-specific."""

import contextlib
import io
import logging
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch.export import ExportedProgram

from mobilevit_deploy.app_options import Compression
from mobilevit_deploy.artifact import Artifact, ConversionRequest, measure_files
from mobilevit_deploy.blame import blame, root_cause
from mobilevit_deploy.compression import CompressionResult, account, blocks, compress
from mobilevit_deploy.coreml_faults import refuse_faults, spoiling_passes_left_out
from mobilevit_deploy.errors import REFUSAL_HINT, ConversionError
from mobilevit_deploy.graph import module_path

SUFFIX = ".mlpackage"
VERSION_NAME = "iOS"
VERSION_OPTION = "--min-ios"
TAKES_APP_OPTIONS = True

# Specification versions by iOS release, from coremltools' own table of deployment targets.
SPECIFICATION = {15: 6, 16: 7, 17: 8, 18: 9}
CLASS_LABEL = "classLabel"  # the name that Xcode gives the predicted class
# coremltools 9.0 writes this file, meant for ExecuTorch's debugger, beside what Manifest.json lists.
STRAY_FILE = "executorch_debug_handle_mapping.json"


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as an .mlpackage; its arrays are float32 whatever the precision, an image has 8 bits.

    Raises:
        ConversionError: coremltools refused the graph, or wrote a later specification than the iOS floor has.
    """
    with quiet_coreml():
        import coremltools  # here, because importing it logs and warns

        compression = None
        with spoiling_passes_left_out(request.program):
            model, kept = _convert(coremltools, request)
            if request.compression:
                model, compression = _compress(model, request.compression, kept)
        specification = model.get_spec()
        _check_specification(specification.specificationVersion, request.version)
        model.short_description = request.metadata.get("mvd.description", "")
        model.user_defined_metadata.update(request.metadata)
        _save(model, request.path)
    sha256, size = measure_files(request.path)
    ops = count_ops(specification)
    return Artifact(request.path, "coreml", ops, sha256, size, request.outputs, request.app, compression)


def count_ops(specification: Any) -> dict[str, int]:
    """Returns how often each op stands in the ML Program's functions, constants left out, the most frequent first."""
    types = (operation.type for operations in blocks(specification) for operation in operations)
    return dict(Counter(kind for kind in types if kind != "const").most_common())


def _convert(coremltools: Any, request: ConversionRequest) -> tuple[Any, set[str]]:
    """Returns the converted model, and the names of the operations that were kept in float32."""
    program = request.program.run_decompositions({})
    refuse_faults(program)
    chooser = _PrecisionChooser(program, request.app.keep_fp32)
    precision = coremltools.precision.FLOAT32
    if request.precision != "fp32":
        precision = coremltools.transform.FP16ComputePrecision(op_selector=chooser)
    labels = request.app.labels
    classifier = coremltools.ClassifierConfig(list(labels), CLASS_LABEL) if labels else None
    try:
        model = coremltools.convert(
            program,
            convert_to="mlprogram",
            inputs=[_input_type(coremltools, request)],
            outputs=[coremltools.TensorType(output.name, dtype=np.float32) for output in request.outputs],
            classifier_config=classifier,
            minimum_deployment_target=getattr(coremltools.target, f"iOS{request.version}"),
            compute_precision=precision,
            skip_model_load=True,
        )
        return model, chooser.kept
    except Exception as error:
        reason = blame(error, request.program)
        traceback.clear_frames(error.__traceback__)  # they hold a temporary folder of coremltools' open
        raise ConversionError(f"coremltools refused the graph: {reason}", REFUSAL_HINT) from error


def _input_type(coremltools: Any, request: ConversionRequest) -> Any:
    name, shape = request.input.name, request.input.shape
    if request.app.image is None:
        return coremltools.TensorType(name, shape=shape, dtype=np.float32)
    layout = getattr(coremltools.colorlayout, request.app.image.color)
    return coremltools.ImageType(name, shape=shape, color_layout=layout)  # scale 1, no bias: the graph normalises


class _PrecisionChooser:
    """Tells coremltools which operations become half precision: those of modules that are not kept in float32.

    coremltools hands each node's ``debug_handle``, ExecuTorch's link from an operation to its source, through the
    conversion and its passes; here it is the node's place in the program.
    """

    def __init__(self, program: ExportedProgram, keep: Collection[str]) -> None:
        self._paths = []
        self._keep = frozenset(keep)
        self.kept: set[str] = set()
        for i, node in enumerate(program.graph.nodes):
            node.meta["debug_handle"] = i
            self._paths.append(module_path(node))

    def __call__(self, operation: Any) -> bool:
        from coremltools.converters.mil.mil.scope import ScopeSource

        handles = operation.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or [None]
        if handles[0] is None or operation.op_type == "const" or self._paths[handles[0]] not in self._keep:
            return True
        self.kept.add(operation.name)
        return False


def _compress(model: Any, compression: Compression, kept: set[str]) -> tuple[Any, CompressionResult]:
    with tempfile.TemporaryDirectory(prefix="mvd-uncompressed-") as folder:
        path = Path(folder) / f"uncompressed{SUFFIX}"
        _save(model, path)
        _, size = measure_files(path)
    try:
        compressed = compress(model, compression, kept)
    except Exception as error:
        raise ConversionError(f"coremltools cannot compress the weights: {root_cause(error)}", REFUSAL_HINT) from error
    return compressed, account(compressed.get_spec(), kept, size)


def _save(model: Any, path: Path) -> None:
    model.save(str(path))
    (path / STRAY_FILE).unlink(missing_ok=True)


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
