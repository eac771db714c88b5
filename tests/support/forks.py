"""The program in forks of a process that has imported everything: each run is a process of its own, and starts at once.

As a program, it imports ``mvd`` and forks itself for every request, a JSON line on standard input. ``Forks`` starts it.
A fork writes a line to its log for whatever it executes, opens for writing, or connects to, as Python's audit hooks
report it; so a test sees what a hostile file made the program do, and not only what it says that it did.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

LARGEST_ADDRESS_SPACE = 16 * 2**30  # stops what runs away between two looks at its memory
LOOK_S = 0.02
TELL_S = 5.0  # for a run that takes too long to write where it is
BROKEN = 70  # exit code of a fork in which this program failed, and not the one that is tested
LOGS = ("output", "errors", "acts")  # files of the log folder
EXECUTING = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "socket.connect", "os.startfile"}
ASKED_BY_PYTHON = ["uname", "-p"]  # its platform module, for the name of the processor
OWN_WORKERS = [sys.executable, "-P", "-m"]  # what mobilevit_deploy.system.child_process.CHILD begins with


@dataclass(frozen=True)
class Done:
    """A run that has ended.

    ``code`` is the exit code, or minus the signal; ``acts`` are lines of what the audit hooks saw; ``cpu_seconds`` are
    the processors' own, with those of its children, and do not grow where others are at work too.
    """

    code: int
    output: str
    errors: str
    acts: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass
class Run:
    """A run that may not have ended."""

    pid: int
    log: Path
    begun: float


class Forks:
    """Starts the program, as a user would, in forks; use it as a context manager."""

    def __init__(self, warm_up: Sequence[str] = ()) -> None:
        """Imports everything; ``warm_up`` is run first, in the process that is then forked."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.support.forks", *map(str, warm_up)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[2]
        )
        self._answer(300)

    def start(self, arguments: Sequence[object], folder: Path, log: Path, prepare: str = "", **limits: int) -> Run:
        """Starts ``mvd`` with arguments, in a folder.

        Args:
            arguments: of the command line.
            folder: the current one of the run.
            log: a folder for its output, what it does, and its temporary files.
            prepare: ``module:function`` that is called with the log folder before the program runs.
            limits: by the name of ``resource.RLIMIT_*``.
        """
        for name in LOGS:
            (log / name).unlink(missing_ok=True)
        run = {"arguments": [*map(str, arguments)], "folder": str(folder), "log": str(log), "prepare": prepare}
        self._send({**run, "limits": limits})
        return Run(self._answer(60)["pid"], log, time.perf_counter())

    def wait(self, run: Run, seconds: float = 180.0, largest_bytes: int | None = None) -> Done:
        """Waits for the end; a run that takes longer tells where it is and is killed, as for more memory."""
        self._send({"wait": run.pid})
        end = run.begun + seconds
        while not select.select([self._stdout], [], [], LOOK_S)[0]:
            if late := time.perf_counter() > end:
                os.kill(run.pid, signal.SIGUSR1)
                select.select([self._stdout], [], [], TELL_S)
            if late or (largest_bytes and _resident(run.pid) > largest_bytes):
                os.kill(run.pid, signal.SIGKILL)
        answer = self._answer(60)
        files = [run.log / name for name in LOGS]
        texts = [file.read_text(errors="replace") if file.exists() else "" for file in files]
        return Done(
            code=answer["code"],
            output=texts[0],
            errors=texts[1],
            acts=tuple(texts[2].splitlines()),
            seconds=time.perf_counter() - run.begun,
            cpu_seconds=answer["cpu_seconds"],
            peak_bytes=answer["peak_bytes"],
        )

    def run(self, arguments: Sequence[object], folder: Path, log: Path, seconds: float = 180.0) -> Done:
        """Starts and waits."""
        return self.wait(self.start(arguments, folder, log), seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    @property
    def _stdout(self) -> Any:
        return self._process.stdout

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def _answer(self, seconds: float) -> dict[str, Any]:
        if not select.select([self._stdout], [], [], seconds)[0]:
            raise TimeoutError("the process that forks does not answer")
        line = self._stdout.readline()
        if not line:
            raise RuntimeError("the process that forks has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):  # it has ended
        return 0


def serve(warm_up: list[str]) -> None:
    """Imports, then forks for every request and tells how the forks end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import_everything()
    warm(warm_up)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status, usage = os.wait4(request["wait"], 0)
            answer = {
                "code": os.waitstatus_to_exitcode(status),
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * 1024,
            }
        else:
            pid = os.fork()
            if pid == 0:
                try:
                    _become(request)
                finally:  # what went wrong before the program ran, or while it ended
                    os._exit(BROKEN)
            answer = {"pid": pid}
        print(json.dumps(answer), file=answers, flush=True)


def warm(arguments: list[str]) -> None:
    """Runs the program once in this process, if it is given arguments, and makes it ready to be forked."""
    if arguments:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            tempfile.tempdir = folder
            code = _run_program(arguments)
            os.chdir("/")
            if code:
                sys.exit(f"the warm-up ended with {code}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # as in a process that has just begun
    for finalizer in weakref.finalize._registry:  # type: ignore[attr-defined]
        finalizer.atexit = False  # what was made here is not theirs to clean up: 223 libraries of PyTorch's, 60 ms
    gc.collect()
    gc.freeze()  # the forks do not touch what they share


def quiet_tqdm() -> None:
    """Gives each fork a lock of its own: by a shared one, one that is killed while it holds it stops all later ones."""
    import tqdm

    tqdm.tqdm.set_lock(threading.RLock())
    tqdm.tqdm.monitor_interval = 0  # and no thread has the new one in the moment of a fork


def _import_everything() -> None:
    import importlib
    import pkgutil

    import torch

    import mobilevit_deploy
    from mobilevit_deploy.targets.coreml.quiet import quiet_coreml
    from tests.support import torchlib

    quiet_tqdm()
    torch.set_num_threads(1)
    torchlib.remember()
    with quiet_coreml():  # before what else asks for it: by itself it imports ExecuTorch
        importlib.import_module("coremltools")
    for module in pkgutil.walk_packages(mobilevit_deploy.__path__, "mobilevit_deploy."):
        if not module.name.endswith(("__main__", "worker")):
            importlib.import_module(module.name)
    from mobilevit_deploy.targets.coreml.mil.specification import parse_model

    parse_model(b"")
    _read_what_stays_the_same()


def _read_what_stays_the_same() -> None:
    """The cards, and typer's commands, which it builds anew whenever it is called: a third of a short run."""
    import typer.main

    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.cli.app import app

    for cards in (catalog.models, catalog.recipes, catalog.devices):
        cards()
    typer.main.get_command = cache(typer.main.get_command)
    typer.main.get_command(app)


def _become(request: dict[str, Any]) -> NoReturn:
    """Runs the program in this fork, as if it had just been started."""
    log = Path(request["log"])
    for stream, name in ((1, "output"), (2, "errors")):
        os.dup2(os.open(log / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.register(signal.SIGUSR1)
    acts = os.open(log / "acts", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    temporary = log / "temporary"
    temporary.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(temporary)
    if "RLIMIT_FSIZE" not in request["limits"]:  # the log is a file too, and a traceback may be longer
        os.environ["MVD_DEBUG"] = "1"
    tempfile.tempdir = None
    os.chdir(request["folder"])
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_ADDRESS_SPACE, LARGEST_ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if request["prepare"]:
        _find(request["prepare"])(log)
    sys.addaudithook(_watch(acts, str(log)))
    code = _run_program(request["arguments"])
    atexit._run_exitfuncs()
    os._exit(code)


def _find(place: str) -> Callable[[Path], None]:
    import importlib

    module, _, function = place.partition(":")
    found: Callable[[Path], None] = getattr(importlib.import_module(module), function)
    return found


def _watch(file: int, log: str) -> Callable[[str, tuple[Any, ...]], None]:
    """Returns an audit hook that notes what is executed, and what is opened for writing outside the log folder."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            command = list(map(str, arguments[1]))
            own = command[:3] == OWN_WORKERS and command[3].startswith("mobilevit_deploy.targets.")
            if not own and command != ASKED_BY_PYTHON:
                os.write(file, f"executed {command}\n".encode())
        elif event in EXECUTING:
            os.write(file, f"executed {event} {arguments}\n".encode())
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = str(arguments[0])
            if not path.startswith((log, os.devnull)) and not path.isdigit():
                os.write(file, f"wrote {path}\n".encode())

    return hook


def _run_program(arguments: list[str]) -> int:
    """Returns the exit code."""
    from mobilevit_deploy.cli.app import main

    sys.argv = ["mvd", *arguments]
    try:
        main()
        code: object = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = BROKEN
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve(sys.argv[1:])
