"""From an ONNX file to the time of each of its modules."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.latency.stability import DRIFT_LIMIT, OTHERS_LIMIT
from mobilevit_deploy.measurement.latency.statistics import summarise
from mobilevit_deploy.measurement.profiling import peak
from mobilevit_deploy.measurement.profiling.attribution import Origin, Source, attribute
from mobilevit_deploy.measurement.profiling.events import Event, measured_runs, summarise_nodes
from mobilevit_deploy.measurement.profiling.macs import graph_macs
from mobilevit_deploy.measurement.profiling.model import fix_batch, nested_nodes, random_inputs, read_model
from mobilevit_deploy.measurement.profiling.trace import trace_events
from mobilevit_deploy.measurement.profiling.tree import NodeTime
from mobilevit_deploy.system.child_process import CHILD
from mobilevit_deploy.system.environment import check_seconds, choose_threads, count_threads
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.system.hashing import measure_files

Progress = Callable[[str], None]

GRACE_S = 180  # for loading, warming up, the peak, and the slowest allowed number of runs


@dataclass(frozen=True)
class ProfileRequest:
    """What to profile, and how; ``threads`` is None for as many as there are cores."""

    artifact: Path
    threads: int | None = None
    seconds: float = 3.0


@dataclass(frozen=True)
class ProfileReport:
    """Where the time of one file goes.

    Attributes:
        nodes: of the graph as ONNX Runtime runs it, in its order, with median times.
        run_ms: median of whole runs without the profiler.
        fastest_run_ms: the fastest of them, which other programs have disturbed least.
        profiled_run_ms: the same with the profiler, in turns with the others.
        runs: how many of each.
        peak_macs_per_s: the best matrix product of this machine, on the same threads.
        peak_shape: its (M, K, N).
        trace: the runs as Chrome trace events.
        warnings: why the figures may not be cited.
    """

    artifact: Path
    sha256: str
    provider: str
    threads: int
    input_shape: tuple[int, ...]
    nodes: tuple[NodeTime, ...]
    run_ms: float
    fastest_run_ms: float
    profiled_run_ms: float
    runs: int
    peak_macs_per_s: float
    peak_shape: tuple[int, int, int]
    trace: Sequence[dict[str, Any]]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def nodes_ms(self) -> float:
        """Returns the sum over all nodes."""
        return sum(node.ms for node in self.nodes)

    @property
    def macs(self) -> int:
        """Returns the multiplications of all nodes."""
        return sum(node.macs for node in self.nodes)

    def share(self, *, exact: bool) -> float:
        """Returns the share of the nodes' time whose module is known, or known without asking neighbours."""
        known = (node.ms for node in self.nodes if node.path is not None and (node.exact or not exact))
        return sum(known) / (self.nodes_ms or 1)


def profile_artifact(request: ProfileRequest, progress: Progress = lambda _stage: None) -> ProfileReport:
    """Profiles a file in a fresh process.

    Raises:
        MeasurementError: the file is missing, damaged, not an ONNX file, or does not run.
    """
    check_seconds(request.seconds)
    threads = choose_threads(request.threads)
    before = machine()
    progress(f"profiling {request.artifact.name}, {count_threads(threads)}")
    with tempfile.TemporaryDirectory(prefix="mvd-profile-") as name:
        answer, runs, nodes = _measure(request, threads, Path(name))
    rate, shape = peak.best(answer["peak_s"])
    return ProfileReport(
        artifact=request.artifact,
        sha256=measure_files(request.artifact)[0],
        provider=answer["provider"],
        threads=threads,
        input_shape=tuple(answer["input_shape"]),
        nodes=nodes,
        run_ms=float(np.median(answer["plain_ms"])),
        fastest_run_ms=min(answer["plain_ms"]),
        profiled_run_ms=float(np.median(answer["profiled_ms"])),
        runs=len(runs),
        peak_macs_per_s=rate,
        peak_shape=shape,
        trace=trace_events(runs, nodes),
        warnings=_doubts(answer["plain_ms"], threads, before),
        environment={**before, "versions": tool_versions()},
    )


def _measure(
    request: ProfileRequest, threads: int, folder: Path
) -> tuple[dict[str, Any], list[list[Event]], tuple[NodeTime, ...]]:
    """Returns the worker's answer, the node events of each run, and the nodes with what they compute."""
    model = read_model(request.artifact)
    _save(model, folder / "model.onnx", request.artifact)  # as it is, with the batch free where it was
    fix_batch(model, request.artifact)
    inputs = random_inputs(model, request.artifact)
    np.savez(folder / "inputs.npz", *inputs.values())
    macs = graph_macs(model)
    answer = _run(request, threads, folder, list(inputs), None in macs)
    if seen := answer["unoptimised_profile"]:
        nodes_seen = summarise_nodes(measured_runs(_read_events(seen), 1))
        macs = graph_macs(model, {node.name: node for node in nodes_seen})
    runs = measured_runs(_read_events(answer["profile"]), answer["runs"])
    nodes = _node_times(Source(model, macs), onnx.load(folder / "optimised.onnx").graph, runs)
    answer["input_shape"] = next((array.shape for array in inputs.values()), ())
    return answer, runs, nodes


def _save(model: onnx.ModelProto, path: Path, artifact: Path) -> None:
    try:
        onnx.save(model, str(path))
    except ValueError as error:  # protobuf holds 2 GB at most
        raise MeasurementError(f"{artifact} is too large to be profiled: {error}") from error


def _read_events(path: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))
    return events


def _run(request: ProfileRequest, threads: int, folder: Path, inputs: list[str], shapes: bool) -> dict[str, Any]:
    """Runs the worker (see ``targets/onnx/profile_worker.py``); returns its answer."""
    question = {
        "folder": str(folder),
        "threads": threads,
        "seconds": request.seconds,
        "inputs": inputs,
        "shapes": shapes,
        "peak": [str(path) for path in peak.write_models(folder)],
    }
    command = [*CHILD, "mobilevit_deploy.targets.onnx.profile_worker"]
    limit = 3 * request.seconds + GRACE_S
    name = request.artifact.name
    try:
        done = subprocess.run(
            command, input=json.dumps(question), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{name} did not finish within {error.timeout:.0f} s") from error
    if done.returncode != 0 or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise MeasurementError(f"{name} cannot be profiled: {last[0]}", "mvd inspect tells what the file holds")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _node_times(source: Source, optimised: onnx.GraphProto, runs: Sequence[Sequence[Event]]) -> tuple[NodeTime, ...]:
    origins = attribute(source, optimised.node)
    found = []
    for node in summarise_nodes(runs, {node.name for node in nested_nodes(optimised)}):
        origin = origins.get(node.name, Origin(None, False))
        found.append(NodeTime(node.name, node.op, node.ms, origin.macs, origin.path, origin.exact, origin.sources))
    return tuple(found)


def _doubts(runs_ms: Sequence[float], threads: int, before: Mapping[str, Any]) -> tuple[str, ...]:
    doubts = []
    if threads > before["cores_available"]:
        doubts.append(f"{threads} threads on {before['cores_available']} available cores: they wait for each other")
    if (drift := summarise([runs_ms]).drift) > DRIFT_LIMIT:
        doubts.append(f"the median moved by {drift:.0%} during the run: the machine is busy or throttling")
    if before["busy_percent"] > 100 * OTHERS_LIMIT:
        doubts.append(f"{before['busy_percent']:.0f} % of the cores were busy before the run")
    return tuple(doubts)
