"""ONNX: PyTorch's dynamo exporter, then onnxsim, another precision if asked for, then the checker.

Nothing here is model-specific.
"""

import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from mobilevit_deploy.architectures.operations.roi_align import ROI_ALIGN
from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.errors import ArtifactError, ConversionError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.graph.module_notes import common_path
from mobilevit_deploy.graph.quiet import quiet_torch
from mobilevit_deploy.graph.sample import tensors_of
from mobilevit_deploy.system.child_process import CHILD
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.system.version import __version__
from mobilevit_deploy.targets.artifact import (
    Artifact,
    ConversionRequest,
    Entry,
    FileDescription,
    Intermediate,
    check_input,
    image_of,
)
from mobilevit_deploy.targets.contents import note
from mobilevit_deploy.targets.onnx.contents import contents_of
from mobilevit_deploy.targets.onnx.contents import read_contents as read_contents
from mobilevit_deploy.targets.onnx.faults import avoid_faults
from mobilevit_deploy.targets.onnx.files import COPY_AGAIN, first_line, load_onnx
from mobilevit_deploy.targets.onnx.half_precision import convert_to_half
from mobilevit_deploy.targets.onnx.inputs import fed_inputs
from mobilevit_deploy.targets.onnx.int8_kernels import suit_int8
from mobilevit_deploy.targets.onnx.module_paths import (
    MODULE_PATH_KEY,
    fill_from_neighbours,
    read_path,
    write_path,
)
from mobilevit_deploy.targets.onnx.one_runtime import CPU, optimize_for_cpu, own_operators
from mobilevit_deploy.targets.onnx.quantize import quantize
from mobilevit_deploy.targets.operations import Operation, Tensor
from mobilevit_deploy.targets.quantization import QuantizationResult
from mobilevit_deploy.targets.refusal import refused

SUFFIX = ".onnx"
SIMPLIFIER = (*CHILD, "mobilevit_deploy.targets.onnx.simplify_worker")
SIMPLIFY_TIMEOUT_S = 300


def convert(request: ConversionRequest) -> Artifact:
    """Writes the graph as an ONNX file with its weights inside.

    Raises:
        ConversionError: the exporter or the checker refused the graph.
    """
    plain = request.path.with_suffix(".plain.onnx")
    simplified = request.path.with_suffix(".simplified.onnx")
    with _simplifier() as process:  # started first: it imports onnxsim while the exporter works
        _export(request, plain)
        warning = _simplify(process, plain, simplified)
    model = onnx.load(plain if warning else simplified)
    if not warning:
        _restore_module_paths(model, onnx.load(plain, load_external_data=False))
    _strip_exporter_notes(model)
    avoid_faults(model)
    intermediates: tuple[Intermediate, ...] = ()
    quantization = None
    if request.precision != "fp32":
        model, intermediates, quantization = _change_precision(model, request)
    warnings = [warning] if warning else []
    if request.app.runtime == CPU:
        plain_model, model = model, optimize_for_cpu(model)
        _restore_module_paths(model, plain_model)
        if own := own_operators(model.graph.node):
            warnings.append(f"for ONNX Runtime's CPU provider: no other runtime reads {', '.join(own)}")
    model.producer_name, model.producer_version = "mobilevit_deploy", __version__
    onnx.helper.set_model_props(model, {**request.metadata, **note(contents_of(model))})
    onnx.save(model, str(request.path))
    plain.unlink()
    simplified.unlink(missing_ok=True)
    _check(request.path)
    sha256, size = measure_files(request.path)
    return Artifact(
        path=request.path,
        target="onnx",
        ops=count_ops(model),
        sha256=sha256,
        bytes=size,
        outputs=request.outputs,
        quantization=quantization,
        warnings=tuple(warnings),
        intermediates=intermediates,
    )


def _change_precision(
    model: onnx.ModelProto, request: ConversionRequest
) -> tuple[onnx.ModelProto, tuple[Intermediate, ...], QuantizationResult | None]:
    """Returns a float32 model in the precision that was asked for, with the module paths of its nodes."""
    with tempfile.TemporaryDirectory(prefix="mvd-float32-") as folder:
        path = (request.intermediates or Path(folder)) / f"float32{SUFFIX}"
        if request.quantization:
            suit_int8(model)
        onnx.save(model, str(path))
        result = None
        if request.quantization:
            changed, result = quantize(path, request.quantization)
        else:
            changed = convert_to_half(onnx.load(path))
    _restore_module_paths(changed, model)
    steps = (Intermediate("float32 conversion", "fp32", path),) if request.intermediates else ()
    return changed, steps, result


def describe(path: Path) -> FileDescription:
    """Reads a file's names, shapes and metadata; a free batch counts as 1. Raises ArtifactError when it is damaged."""
    model = load_onnx(path)
    inputs = fed_inputs(model.graph)
    specs = tuple(map(_spec, inputs))
    shape = image_of(specs, path.name).shape
    if len(shape) != 4 or not all(shape[1:]):
        raise ArtifactError(
            f"{path.name} takes an input of shape {list(shape[:8])}, where 0 is free", "export it for one image size"
        )
    check_input((shape[0] or 1, *shape[1:]), path.name)
    return FileDescription(
        path=path,
        target="onnx",
        metadata={entry.key: entry.value for entry in model.metadata_props},
        entries=(Entry((shape[0] or 1, shape[1], shape[2], shape[3])),),
        outputs=tuple(map(_spec, model.graph.output)),
        inputs=specs,
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    return TensorSpec(value.name, _shape(value), _dtype(value.type.tensor_type.elem_type))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Returns the dimensions of a tensor; 0 for one that is free."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def count_ops(model: onnx.ModelProto) -> dict[str, int]:
    """Returns how often each op stands in the graph, the most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def read_operations(path: Path) -> list[Operation]:
    """Returns the nodes of an ONNX file; external weights are not opened. Raises ArtifactError for a damaged file."""
    model = load_onnx(path)
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:  # it raises many kinds for a damaged file
        raise ArtifactError(f"{path.name} is damaged: {first_line(error)}", COPY_AGAIN) from error
    values = (*graph.value_info, *graph.input, *graph.output)
    known = {value.name: _tensor(value.type.tensor_type) for value in values}
    ends = {value.name for value in graph.output}
    known |= {item.name: Tensor(tuple(item.dims), _dtype(item.data_type)) for item in graph.initializer}
    return [
        Operation(
            node.op_type,
            read_path(node) or node.name or node.output[0],
            tuple(known[name] for name in node.input if name in known),
            tuple(known[name] for name in node.output if name in known),
            bool(ends & set(node.output)),
        )
        for node in graph.node
    ]


def _tensor(tensor: Any) -> Tensor:
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return Tensor(shape, _dtype(tensor.elem_type))


def _dtype(number: int) -> str:
    try:
        name: str = onnx.TensorProto.DataType.Name(number)
    except ValueError as error:
        raise ArtifactError(f"there is no type {number} of ONNX", COPY_AGAIN) from error
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())


def _export(request: ConversionRequest, path: Path) -> None:
    from mobilevit_deploy.targets.onnx.roi_align import write_roi_align
    from mobilevit_deploy.targets.onnx.suppression import write_suppression

    try:
        with quiet_torch():
            program = torch.onnx.export(
                request.program,
                tensors_of(request.sample),
                dynamo=True,
                opset_version=request.version,
                input_names=[item.name for item in request.inputs] or [request.input.name],
                output_names=[output.name for output in request.outputs],
                custom_translation_table={SUPPRESS: write_suppression, ROI_ALIGN: write_roi_align},
                verbose=False,
            )
            assert program is not None  # without a path, the exporter returns the program
            _leave_names_to_outputs(program.model.graph, {output.name for output in request.outputs})
            program.save(str(path))
    except Exception as error:
        raise refused("onnx", "PyTorch's ONNX exporter refused the graph", error, request) from error


def _leave_names_to_outputs(graph: Any, names: Collection[str]) -> None:
    """Renames weights and results that are called as an output is, of the exporter's graph.

    A model may call an output as it calls a parameter, or as the graph calls an operation: ``softmax``, ``conv2d``. A
    weight that is itself an output keeps its name.
    """
    outputs = {id(value) for value in graph.outputs}
    for weight in [graph.initializers[name] for name in names if name in graph.initializers]:
        if id(weight) not in outputs:
            weight.name = f"{weight.name}.weight"
    for node in graph:
        for value in node.outputs:
            if value.name in names and id(value) not in outputs:
                value.name = f"{value.name}.inner"


@contextmanager
def _simplifier() -> Iterator["subprocess.Popen[str]"]:
    """Starts onnxsim in a child process, and ends it whatever happens here."""
    pipe = subprocess.PIPE
    with subprocess.Popen(SIMPLIFIER, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _simplify(process: "subprocess.Popen[str]", source: Path, destination: Path) -> str | None:
    """Lets the child simplify a file; returns a warning when the simplified file cannot be used."""
    try:
        _, errors = process.communicate(f"{source.resolve()}\n{destination.resolve()}\n", SIMPLIFY_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        reason = f"did not finish in {SIMPLIFY_TIMEOUT_S} s"
    else:
        if process.returncode == 0 and destination.is_file():
            return None
        last = errors.strip().splitlines()[-1:]
        known = {0: "wrote no file", 1: "failed or changed the outputs"}
        reason = known.get(process.returncode, f"crashed (exit {process.returncode})") + "".join(f": {x}" for x in last)
    return f"onnxsim {reason}; the file is valid, but not simplified"


def _restore_module_paths(model: onnx.ModelProto, plain: onnx.ModelProto) -> None:
    """Puts module paths back onto the nodes of a simplified model; onnxsim drops all notes.

    A node that onnxsim kept has its result's name. One that it made has the module whose weights it reads (a weight
    that one module alone reads), else that of its neighbours.
    """
    notes = {name: _note(node) for node in plain.graph.node for name in node.output}
    readers: dict[str, set[str]] = defaultdict(set)
    for node in plain.graph.node:
        for name in node.input:
            readers[name].add(read_path(node) or "")
    owners = {item.name: readers[item.name] for item in plain.graph.initializer if len(readers[item.name]) == 1}
    nodes = model.graph.node
    for node in nodes:
        del node.metadata_props[:]
        if note := notes.get(node.output[0]):
            node.metadata_props.add(key=MODULE_PATH_KEY, value=note)
    known = [read_path(node) for node in nodes]
    for i, node in enumerate(nodes):
        if known[i] is None and (modules := [path for name in node.input for path in owners.get(name, ())]):
            known[i] = common_path(modules)
    for node, path in zip(nodes, fill_from_neighbours(nodes, known), strict=True):
        if read_path(node) is None and path is not None:
            write_path(node, path)


def _note(node: onnx.NodeProto) -> str | None:
    return next((entry.value for entry in node.metadata_props if entry.key == MODULE_PATH_KEY), None)


def _strip_exporter_notes(model: onnx.ModelProto) -> None:
    """Removes all notes but module paths: stack traces hold paths of the machine, and differ from one to the next."""
    graph = model.graph
    del graph.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = ""
    _clear(graph.input)
    _clear(graph.output)
    _clear(graph.value_info)
    _clear(graph.initializer)
    for node in graph.node:
        node.doc_string = ""
        note = _note(node)
        del node.metadata_props[:]
        if note:
            node.metadata_props.add(key=MODULE_PATH_KEY, value=note)


def _clear(values: Iterable[Any]) -> None:
    for value in values:
        del value.metadata_props[:]
        value.doc_string = ""


def _check(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(
            f"onnx.checker refuses the exported file: {str(error).splitlines()[0]}",
            "this is a fault of the exporter or of onnxsim: please report it with the model",
        ) from error
