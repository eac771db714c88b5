"""Latency of files on an attached Android phone, by their runtimes' own tools: each process of one is a block."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog.cards import Delegate
from mobilevit_deploy.catalog.formats import tool_versions
from mobilevit_deploy.measurement.android.attached import AttachedPhone
from mobilevit_deploy.measurement.android.conditions import Conditions, read_conditions
from mobilevit_deploy.measurement.android.workspace import Workspace, open_workspace
from mobilevit_deploy.measurement.benchmark_model.binary import find_binary
from mobilevit_deploy.measurement.benchmark_model.output import ToolRun
from mobilevit_deploy.measurement.benchmark_model.run import run_tool
from mobilevit_deploy.measurement.latency.sampling import PRECISION, block_seconds, collect
from mobilevit_deploy.measurement.latency.stability import DRIFT_LIMIT
from mobilevit_deploy.measurement.latency.statistics import Statistics, summarise
from mobilevit_deploy.measurement.phone_tools.choose import choose_tools
from mobilevit_deploy.measurement.phone_tools.tool import Asked, PhoneTool
from mobilevit_deploy.system.environment import check_seconds
from mobilevit_deploy.system.hashing import measure_files

Progress = Callable[[str], None]

SECONDS = 60.0
THREADS = 4  # of the big cores that a phone has, two to four; what TensorFlow Lite's own pages use
COOL_DOWN_S = 2.0  # before each process, so that a run of a minute does not heat the phone as a game does
HALF_GPU = "the GPU delegate computes in half precision, as the tool has it by default"
NOT_ALL = {
    "part": "took a part of the graph only, in {} pieces, so this is not its latency: mvd inspect has the rest",
    "nothing": "took nothing of the graph, so this is not its latency: mvd inspect says why",
    None: "may have taken the graph or not: this tool does not say it",
}


@dataclass(frozen=True)
class AndroidReport:
    """One file's latency on one phone; ``stable`` is False where ``warnings`` say why the figures may not be cited.

    Attributes:
        artifact: the file.
        sha256: of its content.
        tool: that ran it.
        delegate: that the graph was given to.
        threads: of the runtime.
        input_shape: of its first input.
        warmup: runs before those that count, of all processes.
        iterations: those that count.
        processes: how many there were.
        samples_ms: the median of each process; its mean, where the tool's release prints no median.
        medians: whether these are medians.
        statistics: of these; the percentiles of single runs are not known.
        mean_ms: of all runs.
        min_ms: of all runs.
        p95_ms: of single runs, median of the processes; None where the tool does not print it.
        load_ms: loading the file and preparing its tensors, in a fresh process, median; None as for memory.
        memory_mb: that a process took while it ran, about, median; None where the tool does not tell.
        conditions: of the phone, before and after.
        notes: what has to stand beside the figures.
        warnings: why the figures may not be cited.
        environment: the phone, its system, and all versions.
    """

    artifact: Path
    sha256: str
    tool: str
    delegate: Delegate
    threads: int
    input_shape: tuple[int, ...]
    warmup: int
    iterations: int
    processes: int
    samples_ms: tuple[float, ...]
    medians: bool
    statistics: Statistics
    mean_ms: float
    min_ms: float
    p95_ms: float | None
    load_ms: float | None
    memory_mb: float | None
    conditions: tuple[Conditions, Conditions]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def stable(self) -> bool:
        """Tells whether nothing that was seen speaks against the figures."""
        return not self.warnings

    @property
    def batch(self) -> int:
        """Returns how many images one run takes."""
        return self.input_shape[0] if self.input_shape else 1


@dataclass(frozen=True)
class AndroidRequest:
    """Which files to measure, and how.

    Attributes:
        artifacts: ``.tflite``, ``.onnx`` and ``.pte`` files.
        binary: the tool, of one kind of files; None for those of the environment.
        threads: of the runtime.
        delegate: that the graph is given to.
        seconds: time limit of each file, pauses included.
    """

    artifacts: Sequence[Path]
    binary: Path | None = None
    threads: int = THREADS
    delegate: Delegate = "cpu"
    seconds: float = SECONDS


@dataclass(frozen=True)
class Process:
    """One process of a tool."""

    run: ToolRun

    @property
    def samples_ms(self) -> Sequence[float]:
        runs = self.run.runs
        return (runs.mean_ms if runs.median_ms is None else runs.median_ms,)


def measure_android(
    request: AndroidRequest, phone: AttachedPhone, progress: Progress = lambda _stage: None
) -> list[AndroidReport]:
    """Measures every file on a phone, one after the other; nothing is left there.

    Raises:
        ArtifactError: a file is damaged.
        MeasurementError: a file, or the tool, does not fit the phone, or the phone refuses it or went away.
        UsageError: no time.
    """
    check_seconds(request.seconds)
    tools = choose_tools(request.artifacts, request.delegate, request.binary)
    shapes = [tool.input_shape(path) for tool, path in zip(tools, request.artifacts, strict=True)]
    reports = []
    with programs_on(phone, tools, request.binary) as (workspace, programs):
        for tool, path, shape in zip(tools, request.artifacts, shapes, strict=True):
            progress(f"measuring {path.name} on {phone.model}, {request.delegate}")
            reports.append(_measure_one(path, shape, tool, programs[tool.name], request, phone, workspace))
    return reports


@contextmanager
def programs_on(
    phone: AttachedPhone, tools: Sequence[PhoneTool], binary: Path | None
) -> Iterator[tuple[Workspace, dict[str, str]]]:
    """Puts the tools into a folder on the phone, which goes at the end; yields it and the programs by name."""
    binaries = {tool.name: find_binary(binary, phone.abis, tool.name) for tool in tools}
    with open_workspace(phone.serial) as workspace:
        yield workspace, {name: workspace.push_program(path, name) for name, path in binaries.items()}


@dataclass(frozen=True)
class PushedFile:
    """A file that lies on a phone as ``graph``, and the program that runs it there."""

    path: Path
    tool: PhoneTool
    program: str
    graph: str
    workspace: Workspace

    def asked(self, request: AndroidRequest, seconds: float) -> Asked:
        """Returns what the first process is asked, where so many seconds are for this file."""
        return Asked(self.graph, request.threads, request.delegate, block_seconds(seconds))

    def take(self, asked: Asked) -> tuple[Process, Asked]:
        """Runs one process; returns it, and what the next one is asked."""
        time.sleep(COOL_DOWN_S)
        command = [self.program, *self.tool.arguments(asked)]
        found = self.tool.read(run_tool(self.workspace, command, self.path, asked.seconds, self.tool.name))
        return Process(found), replace(asked, run_ms=found.runs.mean_ms)


def _measure_one(
    path: Path,
    shape: tuple[int, ...],
    tool: PhoneTool,
    program: str,
    request: AndroidRequest,
    phone: AttachedPhone,
    workspace: Workspace,
) -> AndroidReport:
    sha256, _ = measure_files(path)
    file = PushedFile(path, tool, program, workspace.push(path, f"model{tool.suffix}"), workspace)
    asked = file.asked(request, request.seconds)
    before = read_conditions(phone.serial)

    def take() -> Process:
        nonlocal asked
        process, asked = file.take(asked)
        return process

    processes = collect(take, request.seconds)
    conditions = (before, read_conditions(phone.serial))
    runs = [process.run for process in processes]
    statistics = summarise([process.samples_ms for process in processes])
    iterations = sum(run.runs.count for run in runs)
    return AndroidReport(
        artifact=path,
        sha256=sha256,
        tool=tool.name,
        delegate=request.delegate,
        threads=request.threads,
        input_shape=shape,
        warmup=sum(run.warmup.count for run in runs),
        iterations=iterations,
        processes=len(runs),
        samples_ms=tuple(sample for process in processes for sample in process.samples_ms),
        medians=all(run.runs.median_ms is not None for run in runs),
        statistics=statistics,
        mean_ms=sum(run.runs.mean_ms * run.runs.count for run in runs) / iterations,
        min_ms=min(run.runs.min_ms for run in runs),
        p95_ms=_middle([run.runs.p95_ms for run in runs]),
        load_ms=_middle([run.init_ms for run in runs]),
        memory_mb=_middle([run.memory_mb for run in runs]),
        conditions=conditions,
        notes=_notes(tool, runs, request.delegate, conditions),
        warnings=(*_doubts(statistics, runs, request.delegate, conditions), *_doubts_of(phone)),
        environment={**phone.facts(), "versions": tool_versions()},
    )


def _middle(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _notes(
    tool: PhoneTool, runs: Sequence[ToolRun], delegate: Delegate, conditions: tuple[Conditions, Conditions]
) -> tuple[str, ...]:
    medians = all(run.runs.median_ms is not None for run in runs)
    before, after = conditions
    found = [
        f"timed: {tool.timed}, by {tool.name} itself; of each process its "
        f"{'median' if medians else 'mean, for this release of the tool prints no median'}",
        f"processes are {COOL_DOWN_S:.0f} s apart, warm-up runs of each: {runs[0].warmup.count}; cores are not pinned",
        f"thermal status: {before.thermal_status or 'not told'} before, {after.thermal_status or 'not told'} after; "
        f"governors: {', '.join(before.governors) or 'not told'}",
    ]
    return (*found, *([HALF_GPU] if delegate == "gpu" else []))


def _doubts(
    statistics: Statistics, runs: Sequence[ToolRun], delegate: Delegate, conditions: tuple[Conditions, Conditions]
) -> tuple[str, ...]:
    found = []
    if not statistics.precision <= PRECISION:
        found.append(
            f"the median may be off by {statistics.precision:.1%}, and {PRECISION:.0%} is asked of it: "
            "give more time with --seconds, or let the phone cool"
        )
    if statistics.drift > DRIFT_LIMIT:
        found.append(
            f"the medians of the run's thirds lie {statistics.drift:.0%} apart: the phone is busy or throttling"
        )
    states = dict.fromkeys(item.thermal_status for item in conditions)
    if hot := [state for state in states if state not in (None, "none")]:
        found.append(f"the thermal status was {' and '.join(map(str, hot))}")
    if any(item.screen_on is False for item in conditions):
        found.append("the screen was off, and Android slows a phone that sleeps")
    if delegate != "cpu":
        found += [
            f"the {delegate} delegate {NOT_ALL[taken].format(run.parts)}"
            for taken, run in {run.taken: run for run in runs}.items()
            if taken != "all"
        ]
    return tuple(found)


def _doubts_of(phone: AttachedPhone) -> tuple[str, ...]:
    return ("this is an emulator, whose times are no phone's",) if phone.emulated else ()
