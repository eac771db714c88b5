"""Builds every way of one model, looks at what it computes, and times all of them in turns."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from benchmarks.baselines.export import example
from benchmarks.baselines.way import Way
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.measurement.comparison.alternate import alternate
from mobilevit_deploy.measurement.latency.process import ONNX_RUNTIME, Session, TimingProcess
from mobilevit_deploy.measurement.latency.settings import RuntimeSettings
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.targets.onnx.runner import OnnxRuntimeRunner
from mobilevit_deploy.verification.differences import measure

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Result:
    """What one way gave for one model.

    Attributes:
        way: its name.
        failure: why there is no file, or none that runs; empty where there is one.
        p50_ms: median; None without one.
        ratio: to the first way, with its 95 % interval.
        max_rel: largest difference from PyTorch over the output's largest magnitude.
        bytes: of the file, with the weights beside it.
    """

    way: str
    failure: str = ""
    p50_ms: float | None = None
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    max_rel: float | None = None
    bytes: int | None = None


@dataclass
class ModelResults:
    """All ways of one model, and what the machine did meanwhile."""

    model: str
    input_shape: tuple[int, ...]
    threads: int
    groups: int = 0
    task: str = "classify"
    conditions: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)


def measure_model(
    model: LoadedModel,
    ways: Sequence[Way],
    folder: Path,
    *,
    threads: int,
    core: int | None,
    seconds: float,
    progress: Callable[[str], None],
) -> ModelResults:
    """Builds and times; a way that fails is a row with its reason.

    Args:
        model: as loaded, untouched.
        ways: the first is what the others are compared with.
        folder: for the files.
        threads: of one run.
        core: that one thread is pinned to; None for all cores.
        seconds: of timing, all ways together.
        progress: called with a line.
    """
    found = ModelResults(model.name, model.input_shape, threads, task=model.task)
    batch = example(model).numpy()
    with torch.inference_mode():
        returned = pytree.tree_leaves(model.module(torch.from_numpy(batch)))
    expected = [output.numpy() for output in returned]
    sessions = []
    for way in ways:
        progress(f"{model.name}: {way.title}")
        result = Result(way.name)
        found.results.append(result)
        try:
            path = way.build(model, folder)
            computed = _outputs(way, path, batch, folder)
            pairs = zip(expected, computed, strict=False)  # a way's own worker returns the first output
            result.max_rel = max(measure("output", *pair).max_rel for pair in pairs)
            result.bytes = _size(path)
            session = _session(way, path, model.input_shape, threads, core)
            TimingProcess(session).close()  # what cannot be loaded is left out before the others are timed
            sessions.append((result, session))
        except Exception as error:
            result.failure = _reason(error)
    progress(f"{model.name}: timing {len(sessions)} ways in turns")
    if found.results[0].failure:
        raise MeasurementError(f"{ways[0].title}: {found.results[0].failure}")
    times = alternate([session for _, session in sessions], seconds)
    found.groups = len(times.times_ms[0])
    found.conditions = asdict(times.conditions)
    for index, (result, _) in enumerate(sessions):
        ratio = times.ratio(index)
        result.p50_ms, result.ratio, result.ci95 = times.p50_ms(index), ratio.value, ratio.ci95
    return found


def _session(way: Way, path: Path, shape: tuple[int, ...], threads: int, core: int | None) -> Session:
    settings = RuntimeSettings(variables={"PYTHONPATH": str(ROOT)})
    pin = () if core is None else (core,)
    return Session(path, threads, settings, pin=pin, input_shape=shape, worker=way.worker)


def _outputs(way: Way, path: Path, batch: Array, folder: Path) -> Sequence[Array]:
    """Returns the outputs of a way's file, or the first of them."""
    if way.worker == ONNX_RUNTIME:
        return OnnxRuntimeRunner(path, "all").run(batch)
    images, output = folder / "images.npy", folder / "output.npy"
    np.save(images, batch)
    command = [sys.executable, "-m", way.worker, path, images, output]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return [np.load(output)]


def _size(path: Path) -> int:
    """Returns the bytes of a file and of those of the same name with another ending."""
    return sum(item.stat().st_size for item in path.parent.glob(f"{path.stem}.*"))


def _reason(error: BaseException) -> str:
    """Returns one line."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in (error.stderr or "").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else f"exit code {error.returncode}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
