"""Where Core ML runs a package: this Mac, or an iPhone; opened once, and nothing of it is left behind."""

import asyncio
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.system.hardware import machine
from mobilevit_deploy.targets.coreml.quiet import quiet_coreml

T = TypeVar("T")


class Place:
    """An event loop and a folder for whatever coremltools writes; use it as a context manager.

    Attributes:
        device: coremltools' prepared device; None for this Mac.
    """

    device: Any = None

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.folder = self._stack.enter_context(temporary_folder())
            self._runner = asyncio.Runner()
            self._stack.callback(self._runner.close)  # it waits for its threads, so what they wait for ends first
            self._stack.callback(end_children, {child.pid for child in psutil.Process().children(recursive=True)})
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        """Does what the place needs before the first call."""

    def check(self, name: str, model: Any) -> None:
        """Raises MeasurementError when the place's system cannot run a package; it is not opened for that."""

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Returns the result of one of coremltools' coroutines, without its progress bars."""
        with quiet_coreml():
            return self._runner.run(call)

    def facts(self) -> Mapping[str, Any]:
        """Returns what a figure depends on: the machine, its system and its tools."""
        raise NotImplementedError

    def thermal_state(self) -> str | None:
        """Returns the thermal state now; None where it is not told."""
        raise NotImplementedError


class ThisMac(Place):
    """The Mac that runs ``mvd``."""

    def facts(self) -> Mapping[str, Any]:
        """Returns the Mac and its macOS with the build."""
        build = _ask("sw_vers", "-buildVersion")
        version = _ask("sw_vers", "-productVersion") or platform.mac_ver()[0]
        return {**machine(), "os": f"macOS {version} ({build})" if build else f"macOS {version}", "device": "host"}

    def thermal_state(self) -> str | None:
        """Returns ``nominal``, or what ``pmset`` warns of."""
        text = _ask("pmset", "-g", "therm")
        if not text:
            return None
        warnings = re.findall(r"(?:Speed_Limit|Scheduler_Limit)\s*=\s*(\d+)", text)
        return "nominal" if all(int(limit) == 100 for limit in warnings) else "throttled"


def require_mac() -> None:
    """Raises MeasurementError where Core ML does not run."""
    if sys.platform != "darwin":
        raise MeasurementError(
            f"Core ML runs on Apple's systems only, and this is {platform.system()}",
            "run it on a Mac, where --device NAME takes an attached iPhone (docs/how-to/iphone.md); "
            "ONNX files run here too",
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Makes a folder that all of ``tempfile`` uses while it lasts: coremltools leaves a file for each prediction."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="mvd-coreml-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def end_children(known: set[int]) -> None:
    """Ends the processes that this one has started since, with all that they have started."""
    end_processes([child for child in psutil.Process().children(recursive=True) if child.pid not in known])


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Asks processes to end, which ``devicectl`` passes on to the app, and ends by force what does not."""
    for process in processes:
        _signal(process, kill=False)
    _, left = psutil.wait_procs(processes, timeout=5)
    for child in left:
        _signal(child, kill=True)
    psutil.wait_procs(left, timeout=5)


def _signal(process: psutil.Process, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):  # it ended by itself
        process.kill() if kill else process.terminate()


def _ask(*command: str) -> str:
    """Returns what a small system tool prints; nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, env={**os.environ})
    return done.stdout.strip() if done.returncode == 0 else ""
