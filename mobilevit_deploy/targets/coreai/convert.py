"""Core AI: Apple's converter on the exported program, and its compiler, in a child process; nothing model-specific."""

import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.graph.graph import module_path, op_name
from mobilevit_deploy.graph.module_notes import KEY as MODULES
from mobilevit_deploy.graph.module_notes import read_notes, write_notes
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.graph.source_lines import user_line
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.artifact import (
    Artifact,
    ConversionRequest,
    Entry,
    FileDescription,
    Intermediate,
    check_input,
)
from mobilevit_deploy.targets.coreai.abort import find_aborting
from mobilevit_deploy.targets.coreai.child import Child, ChildError
from mobilevit_deploy.targets.coreai.contents import ask, note_contents, read_metadata
from mobilevit_deploy.targets.coreai.contents import read_contents as read_contents
from mobilevit_deploy.targets.coreai.half import convert_to_half
from mobilevit_deploy.targets.coreai.nodes import mark, read_nodes
from mobilevit_deploy.targets.operations import Operation, Tensor
from mobilevit_deploy.targets.refusal import hint_of, refused, ways_out

SUFFIX = ".aimodel"
LOWERING = "lowering"  # the converter's last stage, after that of the last node


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as an .aimodel folder, which Apple's compiler has lowered once; its borders are float32.

    Raises:
        ConversionError: the converter or the compiler refused the graph, or aborted.
    """
    intermediates: tuple[Intermediate, ...] = ()
    program = request.program
    if request.precision == "fp16":
        if request.intermediates:
            path = request.intermediates / f"float32{SUFFIX}"
            _write(replace(request, path=path), program)
            intermediates = (Intermediate("float32 conversion", "fp32", path),)
        program = convert_to_half(program, request.sample)
    kinds = _write(request, program)
    sha256, size = measure_files(request.path)
    return Artifact(
        path=request.path,
        target="coreai",
        ops=dict(Counter(kinds).most_common()),
        sha256=sha256,
        bytes=size,
        outputs=request.outputs,
        intermediates=intermediates,
    )


def describe(path: Path) -> FileDescription:
    """Reads an asset's names, shapes and metadata; raises ArtifactError when it is damaged."""
    found = ask(path, "describe")
    if len(found["inputs"]) != 1:
        names = ", ".join(name for name, _, _ in found["inputs"]) or "none"
        raise ArtifactError(f"{path.name} has the inputs {names}, where mvd compares models of one image")
    shape = found["inputs"][0][1]
    if len(shape) != 4 or not all(shape):
        raise ArtifactError(
            f"{path.name} takes an input of shape {shape[:8]}, where 0 is free", "export it for one image size"
        )
    check_input(shape, path.name)
    return FileDescription(
        path=path,
        target="coreai",
        metadata=read_metadata(path),
        entries=(Entry((shape[0], shape[1], shape[2], shape[3])),),
        outputs=tuple(TensorSpec(name, tuple(sizes), kind) for name, sizes, kind in found["outputs"]),
        inputs=tuple(TensorSpec(name, tuple(sizes), kind) for name, sizes, kind in found["inputs"]),
        half=bool(found["half"]),
    )


def read_operations(path: Path) -> list[Operation]:
    """Returns the operations of an asset, constants left out; raises ArtifactError for a damaged one."""
    metadata = read_metadata(path)
    parts, modules = read_nodes(metadata), read_notes(metadata)
    found = []
    for item in ask(path, "operations")["operations"]:
        node = parts.get(item["node"], item["node"])
        found.append(
            Operation(
                item["kind"],
                modules.get(node) or node,
                tuple(_tensor(tensor) for tensor in item["inputs"]),
                tuple(_tensor(tensor) for tensor in item["outputs"]),
                bool(item["result"]),
            )
        )
    return found


def _tensor(tensor: Any) -> Tensor:
    shape, kind = tensor
    return Tensor(tuple(size or "?" for size in shape), kind)


def _write(request: ConversionRequest, program: ExportedProgram) -> list[str]:
    """Converts and lowers a program in the child; returns the kinds of its operations."""
    with quiet_torch():
        parts = program.run_decompositions({})
    calls = [node for node in parts.graph.nodes if op_name(node)]
    mark(parts.graph.nodes)
    child = Child()
    try:
        saved = child.folder / "program.pt2"
        with quiet_torch():
            torch.export.save(parts, saved)
        answer = child.ask(
            "convert",
            program=str(saved),
            path=str(request.path.resolve()),
            input=request.input.name,
            outputs=[output.name for output in request.outputs],
            metadata={**request.metadata, MODULES: write_notes((node.name, module_path(node)) for node in calls)},
        )
        note_contents(request.path, child.ask("constants", path=str(request.path.resolve()))["constants"])
    except ChildError as error:
        if not error.died:
            raise refused("coreai", "Core AI's converter refused the graph", error, request) from error
        raise _aborted(error, request, parts) from error
    finally:
        child.close()
    return [item["kind"] for item in answer["operations"]]


def _aborted(error: ChildError, request: ConversionRequest, program: ExportedProgram) -> ConversionError:
    """Returns what the compiler said when it aborted, with the operation, the module and the line it came from.

    Args:
        error: of the child.
        request: what it was given.
        program: the parts that the child converted.
    """
    name, kind = error.stage, ""
    if name == LOWERING:
        found = find_aborting(request.path) or {"node": "", "kind": ""}
        name = read_nodes(read_metadata(request.path)).get(found["node"], found["node"])
        kind = found["kind"]
    doing = "compiler" if error.stage == LOWERING else "converter"
    node = next((node for node in program.graph.nodes if node.name == name and op_name(node)), None)
    if node is None:  # it was at no node, but rewrote the whole graph
        kind, node = _named_in(str(error), program)
    places = [f"at its operation {kind}" if kind else ""]
    if node is not None:
        places += [f"from {op_name(node)}", f"in {module_path(node)}" if module_path(node) else ""]
        places.append(user_line(node.meta.get("stack_trace") or ""))
    where = ", ".join(place for place in places if place)
    message = f"Core AI's {doing} aborted: {error}" + (f" ({where})" if where else "")
    return ConversionError(message, hint_of(() if node is None else ways_out(node, "coreai", request)))


def _named_in(message: str, program: ExportedProgram) -> tuple[str, Node | None]:
    """Returns the operation that LLVM names, and the first node of that kind with as many values as an operand."""
    found = re.search(r'"[\w.]*?(?:broadcasting_)?(\w+)"\(.*?\((tensor<[^)]*)\)', message)
    if not found:
        return "", None
    sizes = {math.prod(map(int, shape.split("x")[:-1])) for shape in re.findall(r"tensor<([^>]*)>", found[2])}
    for node in program.graph.nodes:
        if op_name(node).partition(".")[0] == found[1] and node.meta["val"].numel() in sizes:
            return found[1], node
    return found[1], None
