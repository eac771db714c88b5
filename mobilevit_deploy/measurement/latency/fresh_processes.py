"""Latency on this machine, of an artifact in fresh processes."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilevit_deploy.measurement.latency.process import Burst, Session, TimingProcess
from mobilevit_deploy.measurement.latency.sampling import FEWEST_RUNS, Warmup, block_seconds, collect, warm_up
from mobilevit_deploy.measurement.latency.stability import Conditions, Watch, mean_conditions


@dataclass(frozen=True)
class _Process:
    """What one process did: the answers of its worker, its runs, and what else happened meanwhile."""

    opened: dict[str, Any]
    warmup: Warmup
    burst: Burst
    conditions: Conditions
    last: dict[str, Any]

    @property
    def samples_ms(self) -> tuple[float, ...]:
        return self.burst.samples_ms


@dataclass(frozen=True)
class Timed:
    """One artifact's runs.

    Attributes:
        input_shape: of the first input.
        pinned_to: cores that the processes could use; None where the system does not tell.
        warmup: runs before those that count, of all processes.
        settled: whether they had stopped falling in most processes.
        samples_ms: of each process, of each run, in order.
        conditions: what else happened meanwhile.
        load_ms: making the session in a fresh process; median of the processes.
        second_load_ms: making it once more, after the last run; likewise.
        peak_rss_mb: most of all processes, MiB; None where the system does not tell.
        provider: that ran it, as the worker names it; None where a runtime has but one.
        whole_graph: the provider took every node, and none was left to the CPU.
    """

    input_shape: tuple[int, ...]
    pinned_to: tuple[int, ...] | None
    warmup: int
    settled: bool
    samples_ms: tuple[tuple[float, ...], ...]
    conditions: Conditions
    load_ms: float
    second_load_ms: float
    peak_rss_mb: float | None
    provider: str | None
    whole_graph: bool


def time_artifact(session: Session, seconds: float) -> Timed:
    """Runs one artifact in fresh processes, one after the other.

    Args:
        session: what to run, and how.
        seconds: time limit; at least six processes are run.

    Raises:
        MeasurementError: a process failed or hung.
    """
    processes = collect(lambda: _run(session, block_seconds(seconds)), seconds)
    first = processes[0]
    peaks = [item.last["peak_rss_mb"] for item in processes if item.last["peak_rss_mb"] is not None]
    return Timed(
        input_shape=tuple(first.opened["input_shape"]),
        pinned_to=None if first.opened["pinned_to"] is None else tuple(first.opened["pinned_to"]),
        warmup=sum(item.warmup.runs for item in processes),
        settled=sum(item.warmup.settled for item in processes) > len(processes) / 2,
        samples_ms=tuple(item.samples_ms for item in processes),
        conditions=mean_conditions([item.conditions for item in processes]),
        load_ms=float(np.median([item.opened["load_ms"] for item in processes])),
        second_load_ms=float(np.median([item.last["second_load_ms"] for item in processes])),
        peak_rss_mb=max(peaks, default=None),
        provider=first.opened.get("provider"),
        whole_graph=first.last.get("whole_graph", True),
    )


def _run(session: Session, seconds: float) -> _Process:
    """Starts a process, warms it up, and runs the artifact for some seconds."""
    with TimingProcess(session) as process:
        warmup = warm_up(process.burst, 2 * seconds)
        watch = Watch(lambda: process.cpu_seconds() + time.process_time(), time.perf_counter)
        burst = process.burst(seconds, FEWEST_RUNS)
        conditions = watch.conditions([burst], session.threads)
        return _Process(process.opened, warmup, burst, conditions, process.finish())
