"""The process that an artifact runs in, seen from the one that measures."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.latency.settings import RuntimeSettings
from mobilevit_deploy.system.child_process import CHILD, deadline
from mobilevit_deploy.targets.registry import package_of

ONNX_RUNTIME = "mobilevit_deploy.targets.onnx.timing_worker"
GRACE_S = 120  # for loading and for the last run, beyond the time that was asked for


def worker_of(target: str) -> str:
    """Returns the module that times a target's artifacts; raises MeasurementError where nothing here does."""
    known = format_of(target)
    if known.worker is None:
        raise MeasurementError(f"no latency of {known.title} on this machine: {known.no_latency}")
    return f"{package_of(target)}.{known.worker}"


@dataclass(frozen=True)
class Session:
    """How an artifact is run.

    Attributes:
        path: the file.
        threads: that one run uses.
        settings: of ONNX Runtime, and environment variables of the process beyond this one's.
        batch: images per run where the file leaves it free; None for what the file says, and 1.
        pin: cores that the process may use; empty for all.
        input_shape: of the one input, where the file leaves more than the batch free; None for what the file says.
        worker: module that runs the file (see ``system/timing_loop.py``).
    """

    path: Path
    threads: int
    settings: RuntimeSettings = field(default_factory=RuntimeSettings)
    batch: int | None = None
    pin: tuple[int, ...] = ()
    input_shape: tuple[int, ...] | None = None
    worker: str = ONNX_RUNTIME


@dataclass(frozen=True)
class Burst:
    """Runs one after the other.

    Attributes:
        samples_ms: of each run, in order.
        wall_s: from the first to the end of the last.
        involuntary_switches: how often a thread of the process was taken off its core; None where unknown.
        waiting_s: how long its threads together waited for a core; None where unknown.
    """

    samples_ms: tuple[float, ...]
    wall_s: float
    involuntary_switches: float | None = None
    waiting_s: float | None = None


class TimingProcess:
    """A child process with one artifact loaded; asleep unless it is asked for a burst.

    Attributes:
        opened: the worker's first answer (see ``system/timing_loop.py``): load time and input shape.
    """

    def __init__(self, session: Session) -> None:
        """Starts the process and loads the artifact; use it as a context manager, so that the process ends.

        Raises:
            MeasurementError: the artifact cannot be loaded.
        """
        self._path = session.path
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in close
        self._process = subprocess.Popen(
            [*CHILD, session.worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **session.settings.variables},
        )
        request = {
            "path": str(session.path.resolve()),
            "threads": session.threads,
            "provider": session.settings.provider,
            "session_entries": dict(session.settings.session_entries),
            "provider_options": dict(session.settings.provider_options),
            "batch": session.batch,
            "pin": list(session.pin),
            "input_shape": session.input_shape,
        }
        try:
            self.opened = self._ask(request, GRACE_S)
        except BaseException:
            self.close()
            raise

    def burst(self, seconds: float, runs: int) -> Burst:
        """Returns at least so many runs, for at least so long; raises MeasurementError."""
        answer = self._ask({"seconds": seconds, "runs": runs}, 3 * seconds + GRACE_S)
        return Burst(
            samples_ms=tuple(answer["samples_ms"]),
            wall_s=answer["wall_s"],
            involuntary_switches=answer.get("involuntary_switches"),
            waiting_s=answer.get("waiting_s"),
        )

    def finish(self) -> dict[str, Any]:
        """Returns the worker's last answer: peak memory, second load; raises MeasurementError."""
        return self._ask({"finish": True}, GRACE_S)

    def cpu_seconds(self) -> float:
        """Returns the CPU time that the process has used."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error as error:
            raise MeasurementError(f"the process of {self._path.name} is gone") from error
        return float(times.user + times.system)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            try:
                if stream:
                    stream.close()
            except BrokenPipeError:
                pass  # what was still to be written is for a process that has ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Sends a request and waits for its answer; kills the process when it takes too long."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        line = ""
        with deadline(limit_s, self._process.kill) as late, suppress(BrokenPipeError):
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise self._failure(limit_s if late.is_set() else None)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failure(self, limit_s: float | None) -> MeasurementError:
        code = self._process.wait()
        if limit_s is not None:
            return MeasurementError(f"{self._path.name} did not answer within {limit_s:.0f} s")
        self._errors.seek(0)
        last = [line for line in self._errors.read().splitlines() if line.strip()][-1:] or [f"exit {code}"]
        return MeasurementError(
            f"{self._path.name} cannot be measured: {last[0].strip()}", "mvd inspect tells what the file holds"
        )
