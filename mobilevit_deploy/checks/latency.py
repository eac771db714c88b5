"""The latency gate: the new artifact's p50 over a baseline's, with the interval of that ratio."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog.formats import format_of, runtime_of, target_of
from mobilevit_deploy.checks.plan import LatencyLimit
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.measurement.comparison.alternate import alternate
from mobilevit_deploy.measurement.latency.cores import AUTO, choose_cores
from mobilevit_deploy.measurement.latency.document import latency_document
from mobilevit_deploy.measurement.latency.measure import LatencyReport, LatencyRequest, measure_latency
from mobilevit_deploy.measurement.latency.process import Session, worker_of
from mobilevit_deploy.system.environment import count_threads
from mobilevit_deploy.system.json_text import dumps
from mobilevit_deploy.system.publish import publish, publish_text, staging

Progress = Callable[[str], None]
Interval = tuple[float, float, float]  # the ratio, and the ends of its 95 % interval

GATE = "latency"


@dataclass(frozen=True)
class _Baseline:
    """Figures of an earlier run."""

    p50_ms: float
    ci95_ms: tuple[float, float]
    cpu: str
    threads: int
    backend: str
    runtime: str


def judge_latency(artifact: Path, limit: LatencyLimit, progress: Progress) -> Verdict:
    """Measures an artifact and holds it to its baseline.

    It fails only when the whole interval lies above the limit, and passes only when the whole interval lies below.
    Noise widens the interval, so on a busy machine the gate is undecided and does not pass by luck or fail by accident.

    Raises:
        MvdError: there is no baseline, it is damaged, or the measurement failed.
    """
    if not limit.baseline.exists():
        raise MvdError(f"there is no baseline {limit.baseline}", "mvd check FILE --update-baselines writes it")
    if limit.baseline.suffix != ".json":
        found, doubts = _beside(artifact, limit, progress), ""
    else:
        baseline = _read(limit.baseline)
        report = _measure(artifact, limit, progress)
        doubts = _other_conditions(baseline, report)
        found = _over(report, baseline)
    return judge_ratio(found, limit.max_ratio, doubts)


def judge_ratio(found: Interval, limit: float, doubts: str = "") -> Verdict:
    """Returns the verdict on a ratio with its 95 % interval.

    Args:
        found: ratio, and the ends of its interval; NaN where there is none.
        limit: that it may not exceed.
        doubts: why the figures cannot be set beside each other; empty if they can.
    """
    ratio, low, high = found
    shown = f"{ratio:.3f} ({low:.3f} to {high:.3f})"
    held = f"at most {limit:.3f} of the baseline"
    if doubts:
        return Verdict(GATE, "undecided", shown, held, doubts)
    if high <= limit:
        return Verdict(GATE, "passed", shown, held)
    if low > limit:
        return Verdict(GATE, "failed", shown, held, "the whole interval lies above the limit")
    reason = "the interval holds the limit: the machine is too noisy, or the time too short, to tell"
    return Verdict(GATE, "undecided", shown, held, reason)


def update_baseline(artifact: Path, limit: LatencyLimit, progress: Progress) -> None:
    """Writes an artifact, or its figures, as the new baseline.

    Raises:
        MvdError: the measurement failed, or the file cannot be written.
    """
    if limit.baseline.suffix != ".json":
        with staging(limit.baseline.parent) as work:
            (work / limit.baseline.name).write_bytes(artifact.read_bytes())
            publish(work, limit.baseline.parent)
        return
    report = _measure(artifact, limit, progress)
    document = {key: value for key, value in latency_document(report).items() if key != "samples_ms"}
    publish_text(dumps(document) + "\n", limit.baseline)


def _beside(artifact: Path, limit: LatencyLimit, progress: Progress) -> Interval:
    """Returns the ratio from alternating runs, which what the machine does meanwhile cancels from."""
    progress(f"timing {artifact.name} and its baseline in turns")
    pin = choose_cores(AUTO, limit.threads)
    worker = worker_of(target_of(artifact))
    sessions = [Session(path, limit.threads, pin=pin, worker=worker) for path in (limit.baseline, artifact)]
    ratio = alternate(sessions, limit.seconds).ratio(1)
    return ratio.value, *ratio.ci95


def _measure(artifact: Path, limit: LatencyLimit, progress: Progress) -> LatencyReport:
    backend = format_of(target_of(artifact)).backend
    request = LatencyRequest([artifact], backend, threads=limit.threads, seconds=limit.seconds)
    (report,) = measure_latency(request, progress)
    return report


def _over(report: LatencyReport, baseline: _Baseline) -> Interval:
    """Returns the ratio of two measurements, from each one's own interval: the widest that both allow."""
    low, high = report.statistics.ci95_ms
    return (
        report.statistics.p50_ms / baseline.p50_ms,
        low / baseline.ci95_ms[1],
        high / baseline.ci95_ms[0],
    )


def _other_conditions(baseline: _Baseline, report: LatencyReport) -> str:
    """Returns why the baseline's figures do not hold here; empty if they do."""
    versions = report.environment["versions"]
    here = (report.environment["cpu"], report.threads, report.backend, str(versions[runtime_of(report.backend)]))
    there = (baseline.cpu, baseline.threads, baseline.backend, baseline.runtime)
    if here != there:
        return f"the baseline is from {_show(there)}, this is {_show(here)}: --update-baselines, or the earlier file"
    if report.warnings:
        return report.warnings[0]
    return ""


def _show(conditions: tuple[str, int, str, str]) -> str:
    cpu, threads, backend, version = conditions
    return f"{cpu}, {count_threads(threads)}, {backend} {version}"


def _read(path: Path) -> _Baseline:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        environment = content["environment"]
        low, high = content["ci95_ms"]
        baseline = _Baseline(
            float(content["p50_ms"]),
            (float(low), float(high)),
            str(environment["cpu"]),
            int(content["threads"]),
            str(content["backend"]),
            str(environment["versions"][runtime_of(str(content["backend"]))]),
        )
        if not all(math.isfinite(value) and value > 0 for value in (baseline.p50_ms, *baseline.ci95_ms)):
            raise ValueError("a time is not positive")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MvdError(
            f"{path} is no baseline that mvd wrote: {error}", "mvd check FILE --update-baselines writes it"
        ) from error
    return baseline
