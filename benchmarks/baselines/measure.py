"""Builds every way of one case, looks at what it computes, and times all of them in turns."""

import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.utils import _pytree as pytree

from benchmarks.baselines.export import example
from benchmarks.baselines.pages import Case
from benchmarks.baselines.results import Result, Row
from benchmarks.baselines.way import Way
from mobilevit_deploy.catalog.head_card import Output
from mobilevit_deploy.loading.model import LoadedModel, ModelRequest, load_model
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.measurement.comparison.alternate import alternate
from mobilevit_deploy.measurement.latency.process import ONNX_RUNTIME, Session, TimingProcess
from mobilevit_deploy.measurement.latency.settings import RuntimeSettings
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.targets.onnx.runner import OnnxRuntimeRunner
from mobilevit_deploy.verification.differences import measure

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS: Mapping[str, Output] = {"segment": "logits", "detect": "boxes"}  # what all ways can compute
DECIMALS = 4  # of a time in ms: a hundredth of a per mille of the fastest model's


def measure_row(case: Case, ways: Sequence[Way], seconds: float, versions: Mapping[str, str | None]) -> Row:
    """Builds and times; a way that fails is a result with its reason.

    Args:
        case: what to time; one thread is pinned to the first core.
        ways: in the order of the results.
        seconds: of timing, all ways together.
        versions: of what is installed.

    Raises:
        MvdError: there is no such model, or a way that could be loaded fails in the middle.
    """
    row = Row(case, seconds, machine(), dict(versions))
    head = HeadOptions(OUTPUTS.get(case.task))
    model = load_model(ModelRequest(case.model, case.task, size=(case.size, case.size), head=head))
    batch = example(model).numpy()
    with torch.inference_mode():
        returned = pytree.tree_leaves(model.module(torch.from_numpy(batch)))
    expected = [output.numpy() for output in returned]
    with tempfile.TemporaryDirectory(prefix="mvd-baselines-") as name:
        folder = Path(name)
        timed: list[tuple[Result, Session]] = []
        for way in ways:
            _tell(f"{case}: {way.title}")
            result = Result(way.name)
            row.results.append(result)
            try:
                path = way.build(model, folder)
                result.max_rel, result.bytes = _difference(way, path, batch, expected, folder), _size(path)
                session = _session(way, path, model, case.threads)
                TimingProcess(session).close()  # what cannot be loaded is left out before the others are timed
                timed.append((result, session))
            except Exception as error:
                result.failure = _reason(error)
        if timed:
            _tell(f"{case}: timing {len(timed)} ways in turns")
            found = alternate([session for _, session in timed], seconds)
            row.conditions = asdict(found.conditions)
            for (result, _), groups in zip(timed, found.times_ms, strict=True):
                result.times_ms = tuple(tuple(round(time, DECIMALS) for time in group) for group in groups)
    return row


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _session(way: Way, path: Path, model: LoadedModel, threads: int) -> Session:
    settings = RuntimeSettings(variables={"PYTHONPATH": str(ROOT)})
    pin = (0,) if threads == 1 else ()
    return Session(path, threads, settings, pin=pin, input_shape=model.input_shape, worker=way.worker)


def _difference(way: Way, path: Path, batch: Array, expected: Sequence[Array], folder: Path) -> float:
    """Returns the largest difference from PyTorch, over the output's largest magnitude."""
    pairs = zip(expected, _outputs(way, path, batch, folder), strict=False)  # a way's own worker returns the first one
    exact = ((wanted.astype(np.float64), computed.astype(np.float64)) for wanted, computed in pairs)
    found = max(measure("output", *pair).max_rel for pair in exact)
    if not math.isfinite(found):
        raise ValueError("what it computes is no number")
    return found


def _outputs(way: Way, path: Path, batch: Array, folder: Path) -> Sequence[Array]:
    """Returns the outputs of a way's file, or the first of them."""
    if way.worker == ONNX_RUNTIME:
        return OnnxRuntimeRunner(path, "all").run(batch)
    images, output = folder / "images.npy", folder / "output.npy"
    np.save(images, batch)
    command = [sys.executable, "-m", way.worker, *map(str, (path, images, output))]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return [np.load(output)]


def _size(path: Path) -> int:
    """Returns the bytes of a file, and of the weights beside it, which OpenVINO and ncnn call so."""
    weights = path.with_suffix(".bin")
    return path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)


def _reason(error: BaseException) -> str:
    """Returns one line."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in (error.stderr or "").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else f"exit code {error.returncode}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
