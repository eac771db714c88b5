"""Runs of the program in forks of a process that has imported everything; see ``fork_server``."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.fork_server import LOGS, locked

LOOK_S = 0.02
TELL_S = 5.0  # for a run that takes too long to write where it is
START_S = 300
LOOKED_UP = "looked up: "  # what a line of the acts begins with that executes nothing by itself


@dataclass(frozen=True)
class Command:
    """What is run: ``mvd`` with arguments, in a folder."""

    arguments: Sequence[object]
    folder: Path


@dataclass(frozen=True)
class Done:
    """A run that has ended.

    ``code`` is the exit code, or minus the signal; ``acts`` are lines of what the audit hooks saw it execute or write;
    ``looked_up`` those of what it imported, and ``imported`` names the modules; ``left`` is what it left of its
    temporary files; ``cpu_seconds`` are the processors' own, with those of its children, and do not grow where others
    are at work too.
    """

    code: int
    output: str
    errors: str
    acts: tuple[str, ...]
    looked_up: tuple[str, ...]
    imported: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass
class Run:
    """A fork that may not have ended, with the folder of its output and the number of its commands."""

    pid: int
    log: Path
    count: int
    begun: float


class Forks:
    """Starts the program, as a user would, in forks; use it as a context manager."""

    def __init__(self, address: Path, folder: Path, warm_up: Sequence[str]) -> None:
        """Comes to the server at an address, which processes may share; where there is none, starts it.

        Args:
            address: a path for its socket.
            folder: in which ``warm_up`` is run first, in the process that is then forked.
            warm_up: arguments of the program.
        """
        with locked(address):
            if not address.exists():
                folder.mkdir(exist_ok=True)
                environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
                command = [sys.executable, "-m", "tests.support.fork_server", address, folder, *warm_up]
                root, said = Path(__file__).parents[2], Path(f"{address}.log")
                with said.open("w") as file:
                    done = subprocess.run(
                        [*map(str, command)], timeout=START_S, env=environment, cwd=root, stdout=file, stderr=file
                    )
                assert done.returncode == 0, said.read_text()[-5000:]
            self._connection = socket.socket(socket.AF_UNIX)
            self._connection.connect(str(address))
        self._answers = self._connection.makefile("r")

    def start(self, arguments: Sequence[object], folder: Path, log: Path, prepare: str = "", **limits: int) -> Run:
        """Starts ``mvd`` with arguments, in a folder.

        Args:
            arguments: of the command line.
            folder: the current one of the run.
            log: a folder for its output, what it does, and its temporary files.
            prepare: ``module:function`` that is called with the log folder before the program runs.
            limits: by the name of ``resource.RLIMIT_*``.
        """
        return self._start([Command(arguments, folder)], log, prepare, limits)

    def wait(self, run: Run, seconds: float = 180.0, largest_bytes: int | None = None) -> Done:
        """Waits for the end; a run that takes longer tells where it is and is killed, as for more memory."""
        return self._wait(run, seconds, largest_bytes)[-1]

    def run(self, arguments: Sequence[object], folder: Path, log: Path, seconds: float = 180.0) -> Done:
        """Starts and waits."""
        return self.wait(self.start(arguments, folder, log), seconds)

    def run_all(
        self, commands: Sequence[Command], log: Path, seconds: float, largest_bytes: int, prepare: str = ""
    ) -> list[Done]:
        """Runs commands one after the other in one fork; after one that ends the process, the others in a new one."""
        done: list[Done] = []
        while len(done) < len(commands):
            done += self._wait(self._start(commands[len(done) :], log, prepare, {}), seconds, largest_bytes)
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.close()
        self._connection.close()

    def _start(self, commands: Sequence[Command], log: Path, prepare: str, limits: dict[str, int]) -> Run:
        for name in LOGS:
            (log / name).unlink(missing_ok=True)
        runs = [{"arguments": [*map(str, item.arguments)], "folder": str(item.folder)} for item in commands]
        self._send({"runs": runs, "log": str(log), "prepare": prepare, "limits": limits})
        return Run(self._answer(60)["pid"], log, len(runs), time.perf_counter())

    def _wait(self, run: Run, seconds: float, largest_bytes: int | None) -> list[Done]:
        """Waits for the end of a fork; returns what it has run, the last of which may have ended it."""
        self._send({"wait": run.pid})
        size, begun = 0, run.begun
        while not select.select([self._connection], [], [], LOOK_S)[0]:
            if (now := _size(run.log / "done")) > size:  # the next one has begun
                size, begun = now, time.perf_counter()
            with suppress(ProcessLookupError):  # it ends by itself
                if late := time.perf_counter() > begun + seconds:
                    os.kill(run.pid, signal.SIGUSR1)
                    select.select([self._connection], [], [], TELL_S)
                if late or (largest_bytes and _resident(run.pid) > largest_bytes):
                    os.kill(run.pid, signal.SIGKILL)
        end = self._answer(60)
        texts = {name: _text(run.log / name) for name in LOGS}
        done = [_done(json.loads(line)) for line in texts.pop("done").splitlines(keepends=True) if line.endswith("\n")]
        if len(done) < run.count and (not done or end["code"] != done[-1].code):
            end |= {"seconds": time.perf_counter() - begun, "imported": [], "left": []}
            done.append(_done({**end, **texts}))
        return done

    def _send(self, request: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(request).encode() + b"\n")

    def _answer(self, seconds: float) -> dict[str, Any]:
        if not select.select([self._connection], [], [], seconds)[0]:
            raise TimeoutError("the process that forks does not answer")
        line = self._answers.readline()
        if not line:
            raise RuntimeError("the process that forks has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _done(found: dict[str, Any]) -> Done:
    lines = found["acts"].splitlines()
    return Done(
        code=found["code"],
        output=found["output"],
        errors=found["errors"],
        acts=tuple(line for line in lines if not line.startswith(LOOKED_UP)),
        looked_up=tuple(line for line in lines if line.startswith(LOOKED_UP)),
        imported=tuple(found["imported"]),
        left=tuple(found["left"]),
        seconds=found["seconds"],
        cpu_seconds=found["cpu_seconds"],
        peak_bytes=found["peak_bytes"],
    )


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):  # it has ended
        return 0
