"""Latency in ONNX Runtime, on this machine."""

import time
from dataclasses import dataclass
from typing import Any

from mobilevit_deploy.latency.process import Burst, Session, TimingProcess
from mobilevit_deploy.latency.sampling import Warmup, collect, warm_up
from mobilevit_deploy.latency.stability import Conditions, Watch

SUFFIX = ".onnx"


@dataclass(frozen=True)
class Timed:
    """One artifact's runs.

    Attributes:
        input_shape: of the first input.
        pinned_to: cores that the process could use; None where the system does not tell.
        warmup: runs before the first that counts.
        bursts: the runs, in order.
        conditions: what else happened meanwhile.
        load_ms: making the session in the fresh process.
        second_load_ms: making it once more, after the last run.
        peak_rss_mb: of the process, MiB; None where the system does not tell.
        whole_graph: the provider took every node, and none was left to the CPU.
    """

    input_shape: tuple[int, ...]
    pinned_to: tuple[int, ...] | None
    warmup: Warmup
    bursts: tuple[Burst, ...]
    conditions: Conditions
    load_ms: float
    second_load_ms: float
    peak_rss_mb: float | None
    whole_graph: bool


def time_artifact(session: Session, seconds: float) -> Timed:
    """Runs one artifact in a fresh process.

    Args:
        session: what to run, and how.
        seconds: time limit of the runs that count.

    Raises:
        MeasurementError: the process failed or hung.
    """
    with TimingProcess(session) as process:
        warmup = warm_up(process.burst, seconds)
        watch = Watch(lambda: process.cpu_seconds() + time.process_time(), time.perf_counter)
        bursts = collect(process.burst, seconds)
        conditions = watch.conditions(bursts, session.threads)
        opened: dict[str, Any] = process.opened
        last = process.finish()
    return Timed(
        input_shape=tuple(opened["input_shape"]),
        pinned_to=None if opened["pinned_to"] is None else tuple(opened["pinned_to"]),
        warmup=warmup,
        bursts=tuple(bursts),
        conditions=conditions,
        load_ms=opened["load_ms"],
        second_load_ms=last["second_load_ms"],
        peak_rss_mb=last["peak_rss_mb"],
        whole_graph=last["whole_graph"],
    )
