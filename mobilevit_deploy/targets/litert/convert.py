"""LiteRT: Google's converter on the exported program, in a child process; nothing model-specific."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import Steps, TensorSpec
from mobilevit_deploy.graph.graph import op_name
from mobilevit_deploy.graph.module_notes import KEY as MODULES
from mobilevit_deploy.graph.module_notes import read_notes, write_notes
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.artifact import (
    Artifact,
    ConversionRequest,
    Entry,
    FileDescription,
    Intermediate,
    check_input,
    image_of,
)
from mobilevit_deploy.targets.litert.app_note import app_note
from mobilevit_deploy.targets.litert.bytes_input import take_bytes
from mobilevit_deploy.targets.litert.child import Child, ChildError
from mobilevit_deploy.targets.litert.contents import metadata_of, note_contents
from mobilevit_deploy.targets.litert.contents import read_contents as read_contents
from mobilevit_deploy.targets.litert.nodes import KEY as NODES
from mobilevit_deploy.targets.litert.nodes import owners, write_nodes
from mobilevit_deploy.targets.litert.precision import change_precision
from mobilevit_deploy.targets.litert.tflite.operations import operations_of
from mobilevit_deploy.targets.litert.tflite.program import Program, Value, parse_program, read_program
from mobilevit_deploy.targets.operations import Operation
from mobilevit_deploy.targets.quantization import QuantizationResult
from mobilevit_deploy.targets.refusal import refused

SUFFIX = ".tflite"
LABELS = "mvd.labels"
BYTES = "uint8"


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as a ``.tflite`` file with its weights inside.

    Raises:
        ConversionError: the converter refused the graph, or its process ended.
    """
    child = Child()
    try:
        steps, quantization = _convert(child, request)
    except ChildError as error:
        said = "ended its process on" if error.died else "refused"
        raise refused("litert", f"LiteRT's converter {said} the graph", str(error), request) from error
    finally:
        child.close()
    sha256, size = measure_files(request.path)
    file = describe(request.path) if request.app.int8_io else None
    return Artifact(
        path=request.path,
        target="litert",
        ops=dict(Counter(item.kind for item in read_operations(request.path)).most_common()),
        sha256=sha256,
        bytes=size,
        outputs=file.outputs if file else request.outputs,
        input=file.inputs[0] if file else None,
        quantization=quantization,
        intermediates=steps,
    )


def _convert(child: Child, request: ConversionRequest) -> tuple[tuple[Intermediate, ...], QuantizationResult | None]:
    """Writes the file; returns its float32 conversion where that is to be compared, and what became int8."""
    if request.precision == "fp32":
        _write(child, request, request.path)
        return (), None
    float32 = (request.intermediates or child.folder) / f"float32{SUFFIX}"
    metadata = _write(child, request, float32)
    result = change_precision(child, request, float32)
    _note(request.path, metadata, request)
    return (Intermediate("float32 conversion", "fp32", float32),) if request.intermediates else (), result


def describe(path: Path) -> FileDescription:
    """Reads a file's names, shapes and metadata; raises ArtifactError when it is damaged."""
    program = read_program(path)
    graph = program.subgraphs[0]
    inputs = _specs(program, "inputs")
    image = image_of(inputs, path.name)
    if len(inputs) == 1 and not (image.type in ("float32", BYTES) or image.steps):
        raise ArtifactError(
            f"{path.name} has an input of {image.type}, where mvd compares models of one image, of float32, of bytes, "
            "or of int8 with a scale"
        )
    shape = image.shape
    if len(shape) != 4 or any(graph.values[number].free for number in graph.inputs):
        raise ArtifactError(
            f"{path.name} takes an input of shape {list(shape[:8])}, where mvd compares models of images of one size"
        )
    check_input(shape, path.name)
    metadata = metadata_of(program, path.name)
    labels = _labels(metadata)
    return FileDescription(
        path=path,
        target="litert",
        metadata=metadata,
        entries=(Entry((shape[0], shape[1], shape[2], shape[3])),),
        outputs=_specs(program, "outputs"),
        inputs=inputs,
        image=len(inputs) == 1 and image.type == BYTES,
        probabilities=bool(labels),
        labels=labels,
    )


def _labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the names of the classes; nothing where there are none, or the text is damaged."""
    try:
        names = json.loads(metadata.get(LABELS, "[]"))
    except (ValueError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _specs(program: Program, side: Literal["inputs", "outputs"]) -> tuple[TensorSpec, ...]:
    """Returns name, shape and type of each input or output, in the order of the runtime."""
    graph = program.subgraphs[0]
    numbers: Sequence[int] = getattr(graph, side)
    names = {
        number: name
        for signature in program.signatures
        if signature.subgraph == 0
        for name, number in getattr(signature, side).items()
    }
    return tuple(
        TensorSpec(names.get(number, value.name), value.shape, value.dtype, _steps(value))
        for number, value in ((number, graph.values[number]) for number in numbers)
    )


def _steps(value: Value) -> Steps | None:
    """Returns what the numbers of an int8 tensor stand for; None for other types, and for steps by channels."""
    found = value.quantization
    if value.dtype != "int8" or found is None or len(found.scales) != 1 or found.other:
        return None
    return Steps(found.scales[0], found.zero_points[0] if found.zero_points else 0)


def read_operations(path: Path) -> list[Operation]:
    """Returns the operations of a file; raises ArtifactError for a damaged one."""
    program = read_program(path)
    modules = read_notes(metadata_of(program, path.name))
    return [replace(item, at=modules.get(item.at, item.at)) for item in operations_of(program)]


def _write(child: Child, request: ConversionRequest, path: Path) -> dict[str, str]:
    """Writes the float32 file, and notes in it what is known of it; returns the notes. Raises ChildError."""
    with quiet_torch():
        parts = request.program.run_decompositions({})
        if request.app.image:
            take_bytes(parts)
        saved = child.folder / "program.pt2"
        torch.export.save(parts, saved)
    inputs = [item.name for item in request.inputs] or [request.input.name]
    names = {"inputs": inputs, "outputs": [output.name for output in request.outputs]}
    child.ask("convert", program=str(saved), path=str(path.resolve()), **names)
    calls = [node for node in parts.graph.nodes if op_name(node)]
    program = parse_program(path.read_bytes(), path.name)
    modules = write_notes(owners(program, calls, parts.graph.output_node().args[0]))
    metadata = {**request.metadata, MODULES: modules, NODES: write_nodes(program, calls)}
    if request.app.labels:
        metadata[LABELS] = json.dumps(request.app.labels)
    _note(path, metadata, request)
    return metadata


def _note(path: Path, metadata: Mapping[str, str], request: ConversionRequest) -> None:
    path.write_bytes(note_contents(path.read_bytes(), metadata, path.name, app_note(request, metadata)))
