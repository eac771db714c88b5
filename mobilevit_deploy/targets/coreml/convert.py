"""Core ML: coremltools on the exported program, to an ML Program; nothing model-specific."""

import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.export import ExportedProgram

from mobilevit_deploy.catalog.decision import LabelMap
from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.graph import module_notes
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.graph.graph import module_path, op_name
from mobilevit_deploy.graph.source_lines import root_cause
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.app_options import Compression
from mobilevit_deploy.targets.artifact import (
    Artifact,
    ConversionRequest,
    Entry,
    FileDescription,
    Intermediate,
    check_input,
    image_of,
)
from mobilevit_deploy.targets.compression import CompressionResult
from mobilevit_deploy.targets.coreml.compression import account, blocks, compress, warn_if_none
from mobilevit_deploy.targets.coreml.contents import note_contents
from mobilevit_deploy.targets.coreml.contents import read_contents as read_contents
from mobilevit_deploy.targets.coreml.detector import Detector, split_detector, write_detector
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.faults import refuse_faults, spoiling_passes_left_out
from mobilevit_deploy.targets.coreml.inputs import check_types, input_types, note_renamed
from mobilevit_deploy.targets.coreml.mil.data_types import DATA_TYPES, FP16
from mobilevit_deploy.targets.coreml.mil.features import Feature
from mobilevit_deploy.targets.coreml.mil.listing import is_stored
from mobilevit_deploy.targets.coreml.mil.listing import read_operations as read_operations
from mobilevit_deploy.targets.coreml.mil.package import Package, make_reproducible
from mobilevit_deploy.targets.coreml.mil.pipeline import SUPPRESSION
from mobilevit_deploy.targets.coreml.precision import PrecisionChooser
from mobilevit_deploy.targets.coreml.preview import read_preview, write_preview
from mobilevit_deploy.targets.coreml.quiet import fewer_checks, quiet_coreml
from mobilevit_deploy.targets.coreml.recurrent import register as register_lstm
from mobilevit_deploy.targets.own_outputs import give_outputs_own_values
from mobilevit_deploy.targets.refusal import refused

SUFFIX = ".mlpackage"
# Specification versions by iOS release, from coremltools' own table of deployment targets.
SPECIFICATION = {15: 6, 16: 7, 17: 8, 18: 9}
LATER = re.compile(r"minimum_deployment_target to at least coremltools\.target\.iOS(\d+)")  # of an op that it lacks
CLASS_LABEL = "classLabel"  # the name that Xcode gives the predicted class


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as an .mlpackage; its arrays are float32 whatever the precision, an image has 8 bits.

    Raises:
        ConversionError: coremltools refused the graph, or wrote a later specification than the iOS floor has; or an
            input has a type that no package takes.
    """
    check_types(request.inputs)
    request, detector = split_detector(request)
    with quiet_coreml():
        import coremltools  # here, because importing it logs and warns

        register_lstm()
        program = request.program.run_decompositions({})
        give_outputs_own_values(program)
        refuse_faults(program)
        intermediates = []
        compression = None
        with spoiling_passes_left_out(request.program), fewer_checks():
            if request.intermediates and request.precision != "fp32":
                intermediates.append(
                    _float32_conversion(coremltools, request, program, detector, request.intermediates)
                )
            model, kept = _convert(coremltools, request, program)
            if request.compression:
                model, compression, uncompressed = _compress(model, request, request.compression, kept, detector)
                intermediates += uncompressed
        specification = model.get_spec()
        assert request.version is not None  # its recipe has them
        _check_specification(specification.specificationVersion, request.version)
        model.short_description = request.metadata.get("mvd.description", "")
        model.user_defined_metadata.update({**request.metadata, **_preview(request)})
        if request.metadata:
            noted = [(node.name, module_path(node)) for node in program.graph.nodes if op_name(node)]
            noted += module_notes.owners(program)
            model.user_defined_metadata[module_notes.KEY] = module_notes.write_notes(noted)
        _save(model, request.path, detector)
    sha256, size = measure_files(request.path)
    ops = count_ops(specification) | ({SUPPRESSION: 1} if detector else {})
    renamed = note_renamed(specification.description, request) if not (detector or request.app.labels) else ()
    return Artifact(
        path=request.path,
        target="coreml",
        ops=ops,
        sha256=sha256,
        bytes=size,
        outputs=describe(request.path).outputs if detector else request.outputs,
        app=request.app,
        compression=compression,
        warnings=(*warn_if_none(compression), *renamed),
        intermediates=tuple(intermediates),
        entries=describe(request.path).entries if request.sizes else (),
    )


def combine(artifacts: Mapping[str, Artifact], metadata: Mapping[str, str], path: Path, version: int) -> Artifact:
    """Writes one package with a function for each artifact; weights that they share are kept once.

    Args:
        artifacts: packages by the names of their functions, the default one first.
        metadata: written into the package as text.
        path: where to write it.
        version: the iOS floor.

    Raises:
        ConversionError: coremltools refused, or wrote a later specification than the iOS floor has.
    """
    with quiet_coreml():
        from coremltools.models.utils import MultiFunctionDescriptor, load_spec, save_multifunction

        descriptor = MultiFunctionDescriptor()
        for name, artifact in artifacts.items():
            descriptor.add_function(str(artifact.path), src_function_name="main", target_function_name=name)
        descriptor.default_function_name = next(iter(artifacts))
        try:
            save_multifunction(descriptor, str(path))
        except Exception as error:
            raise ConversionError(
                f"coremltools cannot combine the sizes: {root_cause(error)}", "export each size by itself"
            ) from error
        specification = load_spec(str(path))
    _check_specification(specification.specificationVersion, version)
    specification.description.metadata.shortDescription = metadata.get("mvd.description", "")
    default = Package(next(iter(artifacts.values())).path).model.description.metadata.userDefined
    notes = {module_notes.KEY: default[module_notes.KEY]} if module_notes.KEY in default else {}
    specification.description.metadata.userDefined.update({**metadata, **notes})  # coremltools drops the functions' own
    Package(path).model_file.write_bytes(specification.SerializeToString())
    note_contents(path)
    make_reproducible(path)
    sha256, size = measure_files(path)
    first = next(iter(artifacts.values()))
    return replace(
        first, path=path, sha256=sha256, bytes=size, ops=count_ops(specification), entries=describe(path).entries
    )


def describe(path: Path) -> FileDescription:
    """Reads a package's names, shapes and metadata; raises ArtifactError when it is damaged or no ML Program."""
    package = Package(path)
    description = package.network.description
    functions = [message.name for message in description.functions]
    default = description.defaultFunctionName
    functions.sort(key=lambda name: name != default)
    runners = {name: MilRunner(path, function=name) for name in functions or (None,)}
    first = next(iter(runners.values()))
    specs = tuple(TensorSpec(feature.name, feature.shape, feature.dtype) for feature in first.inputs)
    image = specs.index(image_of(specs, path.name))
    if not first.outputs:
        raise ArtifactError(f"{path.name} describes no outputs", "export or copy the package again")
    return FileDescription(
        path=path,
        target="coreml",
        metadata=dict(package.model.description.metadata.userDefined),
        entries=tuple(
            Entry(shape, name) for name, runner in runners.items() for shape in _shapes(runner.inputs[image], path)
        ),
        outputs=tuple(
            TensorSpec(feature.name, (1, len(feature.labels)) if feature.labels else feature.shape, feature.dtype)
            for feature in first.outputs
        ),
        image=first.inputs[image].kind == "image",
        color=first.inputs[image].color,
        labels=tuple(map(str, _labels(package, first.outputs))),
        half=_computes_half(package.network),
        inputs=specs,
        probabilities=any(feature.kind == "probabilities" for feature in first.outputs),
    )


def _labels(package: Package, outputs: Sequence[Feature]) -> tuple[str | int, ...]:
    """Returns the names of a detector's, a segmenter's or a classifier's classes."""
    if package.suppression:
        return package.suppression.labels
    preview = read_preview(package.model.description.metadata.userDefined, package.path.name)
    return preview.labels if preview else next((feature.labels for feature in outputs if feature.labels), ())


def _computes_half(specification: Any) -> bool:
    """Tells whether an operation of the program returns half precision."""
    return any(
        DATA_TYPES.get(output.type.tensorType.dataType) is FP16
        for operations in blocks(specification)
        for operation in operations
        for output in operation.outputs
        if not is_stored(operation)
    )


def _shapes(feature: Feature, path: Path) -> list[tuple[int, int, int, int]]:
    """Returns the shapes that an input takes, the default one first."""
    found = []
    for shape in dict.fromkeys([feature.shape, *feature.shapes]):
        if len(shape) != 4:
            raise ArtifactError(f"{path.name} takes an input of shape {list(shape)}, which is no image")
        check_input(shape, path.name)
        found.append((shape[0], shape[1], shape[2], shape[3]))
    return found


def count_ops(specification: Any) -> dict[str, int]:
    """Returns how often each op stands in the ML Program's functions, constants left out, the most frequent first."""
    types = (operation.type for operations in blocks(specification) for operation in operations)
    return dict(Counter(kind for kind in types if kind != "const").most_common())


def _convert(coremltools: Any, request: ConversionRequest, program: ExportedProgram) -> tuple[Any, set[str]]:
    """Converts the decomposed program; returns it, and the names of the operations that were kept in float32."""
    chooser = PrecisionChooser(program, request.app.keep_fp32, [output.name for output in request.outputs])
    precision = coremltools.precision.FLOAT32
    if request.precision != "fp32":
        precision = coremltools.transform.FP16ComputePrecision(op_selector=chooser)
    labels = request.app.labels
    classifier = coremltools.ClassifierConfig(list(labels), CLASS_LABEL) if labels else None
    kind = np.int32 if isinstance(request.app.decision, LabelMap) else np.float32
    try:
        model = coremltools.convert(
            program,
            convert_to="mlprogram",
            inputs=input_types(coremltools, request),
            outputs=[coremltools.TensorType(output.name, dtype=kind) for output in request.outputs],
            classifier_config=classifier,
            minimum_deployment_target=getattr(coremltools.target, f"iOS{request.version}"),
            compute_precision=precision,
            skip_model_load=True,
        )
        return model, chooser.kept
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold a temporary folder of coremltools' open
        later = [f"give --min-ios {ios}" for ios in LATER.findall(str(error))]
        raise refused("coreml", "coremltools refused the graph", error, request, later) from error


def _float32_conversion(
    coremltools: Any, request: ConversionRequest, program: ExportedProgram, detector: Detector | None, folder: Path
) -> Intermediate:
    """Converts the same graph in float32, where a wrong epsilon or form of GELU shows; half precision hides them."""
    plain = replace(request, precision="fp32", app=replace(request.app, keep_fp32=()), compression=None)
    path = folder / f"float32{SUFFIX}"
    model, _ = _convert(coremltools, plain, program)
    _save(model, path, detector)
    return Intermediate("float32 conversion", "fp32", path)


def _compress(
    model: Any, request: ConversionRequest, compression: Compression, kept: set[str], detector: Detector | None
) -> tuple[Any, CompressionResult, list[Intermediate]]:
    with tempfile.TemporaryDirectory(prefix="mvd-uncompressed-") as folder:
        path = (request.intermediates or Path(folder)) / f"uncompressed{SUFFIX}"
        _save(model, path, detector)
        _, size = measure_files(path)
    try:
        compressed = compress(model, compression, kept)
    except Exception as error:
        raise ConversionError(
            f"coremltools cannot compress the weights: {root_cause(error)}",
            "--precision fp16 leaves them as they are, and --keep-fp32 MODULE those of a module",
        ) from error
    steps = [Intermediate("before compression", "fp16", path)] if request.intermediates else []
    return compressed, account(compressed.get_spec(), kept, size), steps


def _preview(request: ConversionRequest) -> dict[str, str]:
    """Returns what Xcode's preview reads of a segmenter; of a detector it is told by the suppression."""
    classes = request.app.classes
    return write_preview(classes.names, classes.colors) if isinstance(request.app.decision, LabelMap) else {}


def _save(model: Any, path: Path, detector: Detector | None) -> None:
    model.save(str(path))
    if detector:
        write_detector(path, detector)
    note_contents(path)
    make_reproducible(path)


def _check_specification(written: int, ios: int) -> None:
    if written > SPECIFICATION[ios]:
        needed = next((release for release, version in SPECIFICATION.items() if version >= written), None)
        raise ConversionError(
            f"coremltools wrote specification {written}, which iOS {ios} does not read",
            f"give --min-ios {needed}" if needed else None,
        )
