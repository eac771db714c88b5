"""ExecuTorch: the graph lowered to XNNPACK, what that does not take left to ExecuTorch's own kernels.

Nothing here is model-specific. A ``.pte`` file keeps no names; they stand with the export's metadata in a constant
method, ``mvd_metadata``, which returns a text and runs nothing. ExecuTorch loads it like any method, on request only.
Source: https://docs.pytorch.org/executorch/stable/backends/xnnpack/xnnpack-overview.html
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram

from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.graph.graph import module_path, op_name
from mobilevit_deploy.graph.module_notes import KEY as MODULES
from mobilevit_deploy.graph.module_notes import write_notes
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.artifact import (
    Artifact,
    ConversionRequest,
    Entry,
    FileDescription,
    Intermediate,
    check_input,
)
from mobilevit_deploy.targets.contents import note
from mobilevit_deploy.targets.executorch.contents import METADATA, notes_of
from mobilevit_deploy.targets.executorch.contents import read_contents as read_contents
from mobilevit_deploy.targets.executorch.exact import keep_graphs
from mobilevit_deploy.targets.executorch.owners import constant_owners, node_owners
from mobilevit_deploy.targets.executorch.pte import Plan, read_program
from mobilevit_deploy.targets.executorch.pte.constant_text import replace_text
from mobilevit_deploy.targets.executorch.pte.operations import count_operations, operations_of, shares_of
from mobilevit_deploy.targets.executorch.quantize import quantize
from mobilevit_deploy.targets.executorch.quiet import quiet_executorch
from mobilevit_deploy.targets.flatbuffer import COPY_AGAIN, DamagedError
from mobilevit_deploy.targets.operations import Operation
from mobilevit_deploy.targets.quantization import QuantizationResult
from mobilevit_deploy.targets.refusal import refused

METHOD = "forward"
# It writes the whole graph anew some forty times: of 17,637 operations, which timm's sequencer2d_s has with the steps
# of its LSTMs written out, the system ended it after twelve minutes, at 18.5 GB. 930 operations took 0.6 GB.
# Nothing between was measured: where the limit lies is a choice.
MOST_OPERATIONS = 4096


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as a ``.pte`` file with its weights inside.

    Raises:
        ConversionError: ExecuTorch refused the graph, or has no kernel for an operation of it, or the graph is larger
            than it converts.
    """
    _check_size(request.program)
    program = request.program
    steps: tuple[Intermediate, ...] = ()
    graph: Path | None = None
    quantization: QuantizationResult | None = None
    if request.precision == "int8":
        program, steps, quantization = _quantize(request)
        graph = keep_graphs(request.intermediates, request.program, program) if request.intermediates else None
    _write(program, request, request.path)
    plan = _plan(request.path)
    sha256, size = measure_files(request.path)
    return Artifact(
        path=request.path,
        target="executorch",
        ops=count_operations(operations_of(plan)),
        sha256=sha256,
        bytes=size,
        outputs=request.outputs,
        quantization=quantization,
        warnings=_warn(plan),
        intermediates=steps,
        graph=graph,
    )


def _check_size(program: ExportedProgram) -> None:
    """Raises ConversionError for a graph of more operations than ExecuTorch's converter comes to an end with."""
    calls = [node for node in program.graph.nodes if op_name(node)]
    if len(calls) <= MOST_OPERATIONS:
        return
    ((largest, count),) = Counter(map(module_path, calls)).most_common(1)
    raise ConversionError(
        f"ExecuTorch's converter takes minutes and gigabytes for {len(calls):,} operations: mvd gives it at most "
        f"{MOST_OPERATIONS:,}{f' ({count:,} are in {largest})' if largest else ''}",
        "a recurrent layer has every step written out here: give --to onnx,coreml, which have one operation for it, or "
        "a smaller --input-size, which has fewer steps",
    )


def describe(path: Path) -> FileDescription:
    """Reads a file's names, shapes and metadata; raises ArtifactError when it is damaged."""
    plan, notes = _plan(path), notes_of(read_program(path), path.name)
    if len(plan.inputs) != 1 or plan.inputs[0].shape is None or plan.inputs[0].dtype != "float32":
        found = ", ".join(f"{value.dtype or 'no tensor'}" for value in plan.inputs) or "none"
        raise ArtifactError(f"{path.name} has the inputs {found}, where mvd compares models of one float32 image")
    shape = plan.inputs[0].shape
    if len(shape) != 4:
        raise ArtifactError(f"{path.name} takes an input of shape {list(shape)}, which is no image")
    check_input(shape, path.name)
    given = notes.get("outputs")
    names = given if isinstance(given, list) else []
    outputs = [value for value in plan.outputs if value.shape is not None]
    if len(names) != len(outputs) or not all(isinstance(name, str) for name in names):
        names = [f"output{i}" for i in range(len(outputs))]
    metadata = notes.get("metadata")
    return FileDescription(
        path=path,
        target="executorch",
        metadata={str(key): str(text) for key, text in metadata.items()} if isinstance(metadata, dict) else {},
        entries=(Entry((shape[0], shape[1], shape[2], shape[3])),),
        outputs=tuple(
            TensorSpec(name, value.shape or (), value.dtype) for name, value in zip(names, outputs, strict=True)
        ),
        inputs=(TensorSpec("image", shape),),  # the format has no names
    )


def read_operations(path: Path) -> list[Operation]:
    """Returns the operations of a file, those of its delegates too; raises ArtifactError for a damaged file."""
    return _checked_operations(_plan(path), path)


def _checked_operations(plan: Plan, path: Path) -> list[Operation]:
    try:
        return list(operations_of(plan))
    except (DamagedError, ValueError) as error:
        raise ArtifactError(f"{path.name} is damaged: {error}", COPY_AGAIN) from error


def _plan(path: Path) -> Plan:
    """Returns the method that computes; every delegate of it can be read."""
    plan = read_program(path).plan(METHOD)
    if plan is None:
        raise ArtifactError(f"{path.name} has no method {METHOD}", "export it again")
    _checked_operations(plan, path)
    return plan


def _write(program: ExportedProgram, request: ConversionRequest, path: Path) -> None:
    """Lowers a program and writes it; raises ConversionError."""
    try:
        with quiet_executorch():
            lowered, written, known = _lower(program)
    except Exception as error:
        raise refused("executorch", "ExecuTorch refused the graph", error, request) from error
    _check_kernels(written.executorch_program.execution_plan, known, request)
    path.write_bytes(written.buffer)
    owners = constant_owners(path, written.exported_program()) + node_owners(lowered)
    notes: dict[str, Any] = {
        "input": request.input.name,
        "outputs": [output.name for output in request.outputs],
        "metadata": {**request.metadata, MODULES: write_notes(owners)},
    }
    _note(path, notes)
    notes["metadata"] |= note(read_contents(path))
    _note(path, notes)


def _note(path: Path, notes: Mapping[str, Any]) -> None:
    path.write_bytes(replace_text(path.read_bytes(), METADATA, json.dumps(notes, sort_keys=True)))


def _lower(program: ExportedProgram) -> tuple[ExportedProgram, Any, set[str]]:
    """Returns the lowered graph, what is to be written, and the names of all kernels."""
    from executorch.backends.xnnpack._passes.remove_noop_expand_copy_pass import RemoveNoopExpandCopyPass
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    lowered = to_edge_transform_and_lower(
        program,
        # What torch.matmul expands to its own shape is a copy, which no delegate takes: LightViT has 170 of them.
        transform_passes=[RemoveNoopExpandCopyPass()],
        partitioner=[XnnpackPartitioner()],
        constant_methods={METADATA: ""},  # written at the end, when it is known what the file holds
    )
    graph = lowered.exported_program()
    return graph, lowered.to_executorch(), Runtime.get().operator_registry.operator_names


def _check_kernels(plans: Any, known: set[str], request: ConversionRequest) -> None:
    """Raises ConversionError for an operation without a kernel: such a file is written, and does not load."""
    for item in (operator for plan in plans for operator in plan.operators):
        name = f"{item.name}.{item.overload}" if item.overload else item.name
        if name not in known:
            raise refused("executorch", "ExecuTorch refused the graph", f"it has no kernel for {name}", request)


def _warn(plan: Plan) -> tuple[str, ...]:
    """Returns what is left to ExecuTorch's own kernels, and what share of the work that is."""
    shares = shares_of(plan)
    if not shares.kernels:
        return ()
    kernels = ", ".join(f"{name.removeprefix('aten::')} {count}" for name, count in shares.kernels.items())
    parts = "one part" if shares.delegates == 1 else f"{shares.delegates} parts"
    return (
        f"XNNPACK takes {shares.macs:.2%} of the multiply-accumulates, in {parts}; ExecuTorch's own kernels, which are "
        f"slower, and a copy at each border, do the rest: {kernels}",
    )


def _quantize(
    request: ConversionRequest,
) -> tuple[ExportedProgram, tuple[Intermediate, ...], QuantizationResult]:
    """Returns the program in int8, and its float32 conversion where that is to be compared."""
    path = request.intermediates / "float32.pte" if request.intermediates else None
    if path:
        _write(request.program, request, path)
    program, result = quantize(request, path)
    return program, (Intermediate("float32 conversion", "fp32", path),) if path else (), result
