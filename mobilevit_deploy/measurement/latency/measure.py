"""From artifacts to latency reports, whatever the backend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import check_packages, format_of, target_run_by, tool_versions
from mobilevit_deploy.errors import MeasurementError, UsageError
from mobilevit_deploy.measurement.latency.cores import AUTO, choose_cores
from mobilevit_deploy.measurement.latency.fresh_processes import time_artifact
from mobilevit_deploy.measurement.latency.noted import noted_entries
from mobilevit_deploy.measurement.latency.process import Session, worker_of
from mobilevit_deploy.measurement.latency.settings import (
    CPU,
    RuntimeSettings,
    has_huge_pages,
    read_settings,
    recommend,
)
from mobilevit_deploy.measurement.latency.stability import Conditions, doubts
from mobilevit_deploy.measurement.latency.statistics import Statistics, summarise
from mobilevit_deploy.system.environment import check_seconds, choose_threads, count_threads
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.system.hashing import measure_files
from mobilevit_deploy.targets.registry import runners_of

Progress = Callable[[str], None]

BACKEND = "onnxruntime"
SECONDS = 20.0  # a quiet machine needs two thirds of it


@dataclass(frozen=True)
class LatencyRequest:
    """Which artifacts to measure, and how.

    Attributes:
        artifacts: files that the backend runs.
        backend: that runs them.
        device: a device profile.
        threads: of one run; None for as many as there are cores.
        seconds: time limit of each artifact; at least six processes are run.
        batch: images per run where a file leaves it free; None for what the file says, and 1.
        provider: of ONNX Runtime, its name with or without ``ExecutionProvider``; other backends have one.
        options: ``KEY=VALUE`` session configuration entries, and provider options as ``provider.KEY=VALUE``.
        huge_pages: whether malloc asks for huge pages.
        pin: ``auto``, ``none`` or core numbers, see ``latency.cores.choose_cores``.
        recommended: whether each file gets the options that it notes of itself, and huge pages where there are any,
            beside what is asked for; what is asked for holds where both name an option.
    """

    artifacts: Sequence[Path]
    backend: str = BACKEND
    device: str = "host"
    threads: int | None = None
    seconds: float = SECONDS
    batch: int | None = None
    provider: str = CPU
    options: Sequence[str] = ()
    huge_pages: bool = False
    pin: str = AUTO
    recommended: bool = False


@dataclass(frozen=True)
class LatencyReport:
    """One artifact's latency; ``stable`` is False where ``warnings`` say why the figures may not be cited.

    Attributes:
        artifact: the file.
        sha256: of its content.
        backend: that ran it.
        provider: of the backend; None where it has but one.
        threads: of one run.
        input_shape: of its first input.
        warmup: runs that do not count, of all processes.
        processes: that it ran in, one after the other.
        samples_ms: of each run, in order.
        statistics: of these.
        load_ms: the first load in a fresh process, median of the processes.
        second_load_ms: another one in the same process, likewise.
        peak_rss_mb: peak resident memory of the process in MiB; None where the system does not tell.
        conditions: what else happened on the machine meanwhile.
        warnings: why the figures may not be cited.
        recommendations: settings that may make it faster, and were not asked for.
        environment: the machine, the session's settings and all versions.
    """

    artifact: Path
    sha256: str
    backend: str
    provider: str | None
    threads: int
    input_shape: tuple[int, ...]
    warmup: int
    processes: int
    samples_ms: tuple[float, ...]
    statistics: Statistics
    load_ms: float
    second_load_ms: float
    peak_rss_mb: float | None
    conditions: Conditions
    warnings: tuple[str, ...]
    recommendations: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def stable(self) -> bool:
        """Tells whether nothing that was seen speaks against the figures."""
        return not self.warnings

    @property
    def batch(self) -> int:
        """Returns how many images one run takes; 1 for an input without axes."""
        return self.input_shape[0] if self.input_shape else 1

    @property
    def throughput_per_s(self) -> float:
        """Returns how many images a second went through, one run after the other."""
        return 1e3 * self.batch / self.statistics.mean_ms


def check_backend(backend: str, device: str) -> None:
    """Raises an MvdError when nothing here runs the backend's artifacts, or the device does not have it."""
    profile = catalog.devices().get(device)
    known = format_of(target_run_by(backend))
    check_packages(known)
    # Targets that other packages add run on this machine too, although its card cannot name their backends.
    runs = profile is not None and (profile.kind == "host" or backend in profile.backends)
    if known.worker is None or not runs:
        what = f"{profile.name} ({profile.title})" if profile else repr(device)
        backends = [name for name in (profile.backends if profile else ["coreml"]) if name != backend]
        raise UsageError(
            f"{what} cannot be measured with {backend} here", f"it takes --backend {' or '.join(backends)}"
        )


def check_artifact(path: Path, backend: str, batch: int | None) -> None:
    """Raises MeasurementError or ArtifactError when there is no such file, or none that may be run with this batch."""
    if not path.exists():
        raise MeasurementError(f"there is no file {path}", "mvd export makes one")
    target = target_run_by(backend)
    suffix = format_of(target).suffix
    if not path.is_file() or path.suffix != suffix:
        raise MeasurementError(f"{path} is no {suffix} file", f"{backend} runs {suffix} files")
    fits = runners_of(target).takes_batch(path, 1 if batch is None else batch)  # reads the file in any case
    if batch is not None and not fits:
        raise MeasurementError(
            f"{path.name} has another batch than {batch} fixed in its graph",
            f"give the model's name in place of the file: it is exported with batch {batch}",
        )


def measure_latency(request: LatencyRequest, progress: Progress = lambda _stage: None) -> list[LatencyReport]:
    """Measures every artifact in processes of its own, one after the other.

    Raises:
        MeasurementError: the backend or the provider is missing here, a file is not one that it runs, or a run failed.
        CatalogError: there is no such device.
        UsageError: options, cores, threads or seconds that cannot be.
    """
    check_backend(request.backend, request.device)
    settings = read_settings(request.provider, request.options, request.huge_pages)
    if request.recommended and settings.provider != CPU:
        raise UsageError(f"--recommended is for the CPU, not for {request.provider}", "leave it out")
    check_seconds(request.seconds)
    threads = choose_threads(request.threads)
    pin = choose_cores(request.pin, threads)
    for path in request.artifacts:
        check_artifact(path, request.backend, request.batch)
    reports = []
    for i, path in enumerate(request.artifacts, 1):
        progress(f"measuring {path.name} ({i} of {len(request.artifacts)}), {count_threads(threads)}")
        worker = worker_of(target_run_by(request.backend))
        noted = noted_entries(path)
        own = _recommended(request, noted) if request.recommended else settings
        session = Session(path, threads, own, request.batch, pin, worker=worker)
        reports.append(_measure_one(session, request, noted))
    return reports


def _recommended(request: LatencyRequest, noted: Sequence[str]) -> RuntimeSettings:
    """Returns the settings of one file with those that it notes of itself, and huge pages where there are any."""
    options = (*noted, *request.options)  # of two values of one key the last one holds
    return read_settings(request.provider, options, request.huge_pages or has_huge_pages())


def _measure_one(session: Session, request: LatencyRequest, noted: Sequence[str]) -> LatencyReport:
    sha256, _ = measure_files(session.path)  # reads the file, so that the first load finds it in the system's cache
    environment = {**machine(), **_describe(session.settings), "pin": request.pin, "device": request.device}
    timed = time_artifact(session, request.seconds)
    statistics = summarise(timed.samples_ms)
    warnings = doubts(statistics, timed.settled, timed.conditions, session.threads)
    provider = timed.provider
    if not timed.whole_graph:
        warnings = (*warnings, f"{provider} left a part of the graph to the CPU, so this is not its latency")
    return LatencyReport(
        artifact=session.path,
        sha256=sha256,
        backend=request.backend,
        provider=provider,
        threads=session.threads,
        input_shape=timed.input_shape,
        warmup=timed.warmup,
        processes=len(timed.samples_ms),
        samples_ms=tuple(sample for process in timed.samples_ms for sample in process),
        statistics=statistics,
        load_ms=timed.load_ms,
        second_load_ms=timed.second_load_ms,
        peak_rss_mb=timed.peak_rss_mb,
        conditions=timed.conditions,
        warnings=warnings,
        recommendations=recommend(session.settings, noted),
        environment={**environment, "affinity": timed.pinned_to, "versions": tool_versions()},
    )


def _describe(settings: RuntimeSettings) -> dict[str, Any]:
    """Returns the settings of a session for a report's environment."""
    return {
        "session_options": dict(settings.session_entries),
        "provider_options": dict(settings.provider_options),
        "variables": dict(settings.variables),
    }
