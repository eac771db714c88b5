"""From artifacts to latency reports, whatever the backend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy import catalog
from mobilevit_deploy.artifact import measure_files
from mobilevit_deploy.environment import available_cores, machine, tool_versions
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.latency import onnxruntime
from mobilevit_deploy.latency.statistics import DRIFT_LIMIT, Statistics, summarise

Progress = Callable[[str], None]

BUSY_LIMIT_PERCENT = 20  # an idle desktop shows 1 to 10 %; one busy core of four is 25 %


@dataclass(frozen=True)
class LatencyRequest:
    """Which artifacts to measure, and how; ``threads`` is None for as many as there are cores."""

    artifacts: Sequence[Path]
    backend: str = "onnxruntime"
    device: str = "host"
    threads: int | None = None
    seconds: float = 3.0


@dataclass(frozen=True)
class LatencyReport:
    """One artifact's latency; ``stable`` is False where ``warnings`` say why the figures may not be cited."""

    artifact: Path
    sha256: str
    backend: str
    provider: str
    threads: int
    input_shape: tuple[int, ...]
    warmup: int
    samples_ms: tuple[float, ...]
    statistics: Statistics
    load_ms: float
    peak_rss_mb: float | None
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def stable(self) -> bool:
        """Tells whether nothing that was seen speaks against the figures."""
        return not self.warnings


def check_backend(backend: str, device: str) -> None:
    """Raises MeasurementError or CatalogError when this machine cannot measure with the backend."""
    profile = catalog.device(device)
    if backend not in profile.backends:
        raise MeasurementError(
            f"{profile.name} ({profile.title}) cannot be measured with {backend} in this version",
            f"it takes --backend {' or '.join(profile.backends)}; Core ML needs a Mac with Xcode, and an iPhone",
        )


def measure_latency(request: LatencyRequest, progress: Progress = lambda _stage: None) -> list[LatencyReport]:
    """Measures every artifact in a process of its own, one after the other.

    Raises:
        MeasurementError: the backend is missing here, a file is not one that it runs, or a run failed.
        CatalogError: there is no such device.
    """
    check_backend(request.backend, request.device)
    threads = request.threads or available_cores()
    for path in request.artifacts:
        if not path.exists():
            raise MeasurementError(f"there is no file {path}", "mvd export makes one")
        if not path.is_file() or path.suffix != onnxruntime.SUFFIX:
            raise MeasurementError(
                f"{path} is no {onnxruntime.SUFFIX} file", f"{request.backend} runs {onnxruntime.SUFFIX} files"
            )
    reports = []
    for i, path in enumerate(request.artifacts, 1):
        progress(f"measuring {path.name} ({i} of {len(request.artifacts)}), {threads} threads")
        reports.append(_measure_one(path, request, threads))
    return reports


def _measure_one(path: Path, request: LatencyRequest, threads: int) -> LatencyReport:
    before = machine()
    answer = onnxruntime.time_artifact(path, threads, request.seconds)
    statistics = summarise(answer["samples_ms"])
    return LatencyReport(
        artifact=path,
        sha256=measure_files(path)[0],
        backend=request.backend,
        provider=answer["provider"],
        threads=threads,
        input_shape=tuple(answer["input_shape"]),
        warmup=answer["warmup"],
        samples_ms=tuple(answer["samples_ms"]),
        statistics=statistics,
        load_ms=answer["load_ms"],
        peak_rss_mb=answer["peak_rss_mb"],
        warnings=_doubts(statistics, threads, before),
        environment={**before, "device": request.device, "versions": tool_versions()},
    )


def _doubts(statistics: Statistics, threads: int, before: Mapping[str, Any]) -> tuple[str, ...]:
    cores = before["cores_available"]
    doubts = []
    if threads > cores:
        doubts.append(f"{threads} threads on {cores} available cores: they wait for each other, so this is slower")
    if statistics.drift > DRIFT_LIMIT:
        doubts.append(f"the median moved by {statistics.drift:.0%} during the run: the machine is busy or throttling")
    if before["busy_percent"] > BUSY_LIMIT_PERCENT:
        doubts.append(
            f"{before['busy_percent']:.0f} % of the cores were busy before the run: something else is running"
        )
    return tuple(doubts)
