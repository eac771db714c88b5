"""From a ``.tflite`` file to the time of each of its operators, by ``benchmark_model``, here or on an Android phone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog.cards import Delegate
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.graph.module_notes import read_notes
from mobilevit_deploy.measurement.android.attached import AttachedPhone
from mobilevit_deploy.measurement.android.workspace import open_workspace
from mobilevit_deploy.measurement.benchmark_model.arguments import measuring, profiling
from mobilevit_deploy.measurement.benchmark_model.binary import NAME, find_binary, host_abis
from mobilevit_deploy.measurement.benchmark_model.output import OperatorTime, ToolRun, read_profile, read_run
from mobilevit_deploy.measurement.benchmark_model.run import Here, Place, check_file, run_tool
from mobilevit_deploy.measurement.profiling.tree import NodeTime
from mobilevit_deploy.system.environment import check_seconds
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.litert.contents import metadata_of
from mobilevit_deploy.targets.litert.tflite.operations import macs, operations_of
from mobilevit_deploy.targets.litert.tflite.program import Program, read_program

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TfliteProfileRequest:
    """What to profile, and how.

    Attributes:
        artifact: a ``.tflite`` file.
        threads: of the runtime.
        binary: the tool; None for that of the environment.
        delegate: that the graph is given to.
        seconds: of the runs with the profiler, and as many without it.
        phone: None for this machine.
    """

    artifact: Path
    threads: int
    binary: Path | None = None
    delegate: Delegate = "cpu"
    seconds: float = 3.0
    phone: AttachedPhone | None = None


@dataclass(frozen=True)
class TfliteProfile:
    """Where the time of one file goes.

    Attributes:
        artifact: the file.
        sha256: of its content.
        delegate: that the graph was given to.
        threads: of the runtime.
        input_shape: of its first input.
        nodes: operators in the order in which they ran, with the mean time of each; a delegate's own have no module.
        run_ms: mean of whole runs without the profiler.
        profiled_run_ms: the same with it.
        runs: with the profiler.
        environment: this machine or the phone, and all versions.
    """

    artifact: Path
    sha256: str
    delegate: Delegate
    threads: int
    input_shape: tuple[int, ...]
    nodes: tuple[NodeTime, ...]
    run_ms: float
    profiled_run_ms: float
    runs: int
    environment: Mapping[str, Any]

    @property
    def nodes_ms(self) -> float:
        """Returns the sum over all operators."""
        return sum(node.ms for node in self.nodes)

    @property
    def module_known(self) -> float:
        """Returns the share of the operators' time whose module is known."""
        return sum(node.ms for node in self.nodes if node.path is not None) / (self.nodes_ms or 1)


def profile_tflite(request: TfliteProfileRequest, progress: Progress = lambda _stage: None) -> TfliteProfile:
    """Profiles a file.

    Raises:
        ArtifactError: the file is damaged.
        MeasurementError: there is no file, no tool for this device, or the tool fails.
        UsageError: no time.
    """
    check_seconds(request.seconds)
    path, phone = request.artifact, request.phone
    shape, program = check_file(path), read_program(path)
    binary = find_binary(request.binary, phone.abis if phone else host_abis())
    where = f" on {phone.model}" if phone else ""
    progress(f"profiling {path.name}{where}, {request.delegate}")
    if phone is None:
        plain, text = _measure(Here(), str(binary.resolve()), str(path.resolve()), request)
        environment = {**machine(), "device": "host", "versions": tool_versions()}
    else:
        with open_workspace(phone.serial) as workspace:
            tool = workspace.push_program(binary, NAME)
            plain, text = _measure(workspace, tool, workspace.push(path, "model.tflite"), request)
        environment = {**phone.facts(), "versions": tool_versions()}
    profiled = read_run(text)
    return TfliteProfile(
        artifact=path,
        sha256=measure_files(path)[0],
        delegate=request.delegate,
        threads=request.threads,
        input_shape=shape,
        nodes=attribute_times(read_profile(text), program, path.name),
        run_ms=plain.runs.mean_ms,
        profiled_run_ms=profiled.runs.mean_ms,
        runs=profiled.runs.count,
        environment=environment,
    )


def _measure(place: Place, tool: str, graph: str, request: TfliteProfileRequest) -> tuple[ToolRun, str]:
    """Returns a run without the profiler, and what the tool prints with it."""
    threads, delegate, seconds = request.threads, request.delegate, request.seconds
    plain = run_tool(place, [tool, *measuring(graph, threads, delegate, seconds)], request.artifact, seconds)
    text = run_tool(place, [tool, *profiling(graph, threads, delegate, seconds)], request.artifact, seconds)
    return read_run(plain), text


def attribute_times(times: Sequence[OperatorTime], program: Program, name: str) -> tuple[NodeTime, ...]:
    """Returns each operator's time with its module and its multiply-accumulates, where the file has it.

    An operator is found by the first tensor that it computes; what a delegate calls by names of its own is not.
    """
    modules = read_notes(metadata_of(program, name))
    operations = {item.at: item for item in operations_of(program)}
    found = []
    for i, time in enumerate(times):
        output = time.outputs[0] if time.outputs else ""
        operation = operations.get(output)
        found.append(
            NodeTime(
                output or f"{time.kind} {i}",
                operation.kind if operation else time.kind,
                time.ms,
                macs(operation) if operation else 0,
                modules.get(output),
                True,
                (),
            )
        )
    return tuple(found)
