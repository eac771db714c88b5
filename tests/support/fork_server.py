"""The program in forks of a process that has imported everything: each run starts at once.

``python -m tests.support.fork_server SOCKET FOLDER ARGUMENT...`` imports ``mvd``, runs it once in the folder, and ends
when a fork of it listens at the socket; that one ends with its last client. A client asks in JSON, a line a request,
for a fork that runs ``mvd`` with arguments, once or many times over, and for how it ended.

A fork writes a line to its log for whatever it executes, opens for writing, or connects to, as Python's audit hooks
report it; so a test sees what a hostile file made the program do, and not only what it says that it did.
"""

from __future__ import annotations

import atexit
import faulthandler
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

LARGEST_ADDRESS_SPACE = 16 * 2**30  # stops what runs away between two looks at its memory
LOOK_S = 1.0
FIRST_CLIENT_S = 60.0  # the one that had the server started comes at once
LOGS = ("output", "errors", "acts", "done")  # files of the log folder; a run that has ended is a line of the last one
LONGEST_NAME = 200
BROKEN = 70  # exit code of a fork in which this program failed, and not the one that is tested
EXECUTING = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "socket.connect", "os.startfile"}
# What nothing that reads a file needs, once it has read a good one: then what it takes is imported.
LOOKING_UP = {"import", "exec", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "cpython.run_file"}
# Imported by LiteRT's worker alone, which imports Google's packages; they need not be installed.
IN_WORKERS = ("litert.lower", "litert.requantize", "litert.exact", "litert.session")
ASKED_BY_PYTHON = ["uname", "-p"]  # its platform module, for the name of the processor
OWN_WORKERS = [sys.executable, "-P", "-m"]  # what mobilevit_deploy.system.child_process.CHILD begins with


def main(address: str, folder: str, *arguments: str) -> None:
    """Imports and runs the program once; leaves a fork that serves."""
    _import_everything()
    warm(arguments, Path(folder))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    if os.fork() == 0:
        serve(listener, Path(address))
        os._exit(0)


def serve(listener: socket.socket, address: Path) -> None:
    """Forks for each client, until all have gone."""
    clients: set[int] = set()
    first = time.monotonic() + FIRST_CLIENT_S
    while True:
        if select.select([listener], [], [], LOOK_S)[0]:
            connection, _ = listener.accept()
            pid = os.fork()
            if pid == 0:
                listener.close()
                answer(connection)
                os._exit(0)
            connection.close()
            clients.add(pid)
            first = 0.0
        clients -= {pid for pid in clients if os.waitpid(pid, os.WNOHANG)[0]}
        if not clients and time.monotonic() > first and _end(listener, address):
            return


def _end(listener: socket.socket, address: Path) -> bool:
    """Takes the socket away, unless a client is just coming: it has the lock while it does."""
    with locked(address, wait=False) as is_mine:
        if is_mine and not select.select([listener], [], [], 0)[0]:
            address.unlink()
            return True
    return False


class locked:  # noqa: N801 - used as a function
    """Lets one process at a time come to a server, start one or end it."""

    def __init__(self, address: Path, *, wait: bool = True) -> None:
        self._file = os.open(f"{address}.lock", os.O_WRONLY | os.O_CREAT)
        self._flags = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)

    def __enter__(self) -> bool:
        try:
            fcntl.flock(self._file, self._flags)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def answer(connection: socket.socket) -> None:
    """Forks for every request of a client and tells how the forks end."""
    with connection, connection.makefile("r") as requests, connection.makefile("w") as answers:
        for line in _until_it_goes(requests):
            request = json.loads(line)
            if "wait" in request:
                _, status, usage = os.wait4(request["wait"], 0)
                reply = {
                    "code": os.waitstatus_to_exitcode(status),
                    "cpu_seconds": usage.ru_utime + usage.ru_stime,
                    "peak_bytes": usage.ru_maxrss * 1024,
                }
            else:
                pid = os.fork()
                if pid == 0:
                    try:
                        connection.close()
                        _become(request)
                    finally:  # what went wrong before the program ran, or while it ended
                        os._exit(BROKEN)
                reply = {"pid": pid}
            print(json.dumps(reply), file=answers, flush=True)


def _until_it_goes(requests: TextIO) -> Iterator[str]:
    with suppress(ConnectionError):
        yield from requests


def warm(arguments: Sequence[str], folder: Path | None = None) -> None:
    """Runs the program once in this process, if it is given arguments, and makes it ready to be forked.

    Args:
        arguments: of the program.
        folder: the current one of that run; None for one that goes with it.
    """
    if arguments:
        with tempfile.TemporaryDirectory() as temporary:
            os.chdir(folder or temporary)
            tempfile.tempdir = temporary
            code = _run_program([*arguments])
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
        if not module.name.endswith(("__main__", "worker", *IN_WORKERS)):
            importlib.import_module(module.name)
    from mobilevit_deploy.targets.coreml.mil.specification import parse_model

    parse_model(b"")
    _read_what_stays_the_same()


def _read_what_stays_the_same() -> None:
    """The cards, and typer's commands, which it builds anew whenever it is called: a third of a short run.

    And the codec of names in archives that are no UTF-8, which nobody had to look up before.
    """
    import typer.main

    from mobilevit_deploy.catalog import catalog
    from mobilevit_deploy.cli.app import app

    for cards in (catalog.models, catalog.recipes, catalog.devices):
        cards()
    "".encode("cp437")
    typer.main.get_command = cache(typer.main.get_command)
    typer.main.get_command(app)


def _become(request: dict[str, Any]) -> NoReturn:
    """Runs the program in this fork, as if it had just been started; many times over, as if each were the first."""
    log = Path(request["log"])
    files = {name: os.open(log / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for name in LOGS}
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(files["output"], 1)
    os.dup2(files["errors"], 2)
    faulthandler.register(signal.SIGUSR1)
    temporary = log / "temporary"
    temporary.mkdir(exist_ok=True)
    if "RLIMIT_FSIZE" not in request["limits"]:  # the log is a file too, and a traceback may be longer
        os.environ["MVD_DEBUG"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_ADDRESS_SPACE, LARGEST_ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    watch = _Watch(files["acts"], log)
    at_exit: list[Callable[[], object]] = []
    atexit.register = lambda call, *given, **named: at_exit.append(partial(call, *given, **named))  # type: ignore[assignment]
    code, known_left = BROKEN, set[str]()
    for run in request["runs"]:
        os.environ["TMPDIR"] = str(temporary)
        tempfile.tempdir = None
        os.chdir(run["folder"])
        if request["prepare"]:
            _find(request["prepare"])(log)
        for file in (files["output"], files["errors"], files["acts"]):
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
        done = _measured(run["arguments"], watch, at_exit)
        code = done["code"]
        texts = {name: _text(files[name]) for name in ("output", "errors", "acts")}
        left = {path.name for path in temporary.iterdir()} - known_left
        known_left |= left
        with suppress(OSError):  # for a limit of the test's own; then it is known how the process ended
            os.write(files["done"], json.dumps({**done, **texts, "left": sorted(left)}).encode() + b"\n")
    atexit._run_exitfuncs()
    os._exit(code)


def _text(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")


def _measured(arguments: list[str], watch: _Watch, at_exit: list[Callable[[], object]]) -> dict[str, Any]:
    """Runs the program and what it wants done at its end; returns how it ended and what it took."""
    known, children = set(sys.modules), _peak_of_children()
    _forget_peak()
    cpu, begun = sum(os.times()[:4]), time.perf_counter()
    watch.is_on = True
    code = _run_program(arguments)
    while at_exit:
        at_exit.pop()()
    watch.is_on = False
    return {
        "code": code,
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": sum(os.times()[:4]) - cpu,
        "peak_bytes": max(_peak(), _peak_of_children() if _peak_of_children() > children else 0),
        "imported": sorted(set(sys.modules) - known),
    }


def _forget_peak() -> None:
    with suppress(OSError):  # or each run has the largest peak until then
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Returns the largest memory in bytes since it was forgotten."""
    try:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _peak_of_children() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _find(place: str) -> Callable[[Path], None]:
    import importlib

    module, _, function = place.partition(":")
    found: Callable[[Path], None] = getattr(importlib.import_module(module), function)
    return found


class _Watch:
    """An audit hook that notes what is executed or looked up, and what is opened for writing outside the log folder.

    Attributes:
        is_on: whether it does.
    """

    def __init__(self, file: int, log: Path) -> None:
        self.is_on = False
        self._file = file
        self._log = str(log)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "subprocess.Popen":
            command = list(map(str, arguments[1]))
            own = command[:3] == OWN_WORKERS and command[3].startswith("mobilevit_deploy.targets.")
            if not own and command != ASKED_BY_PYTHON:
                self._note(f"executed {command}")
        elif event in EXECUTING:
            self._note(f"executed {event} {arguments}")
        elif event in LOOKING_UP:
            named = str(getattr(arguments[0], "co_filename", arguments[0]))
            self._note(f"looked up: {event} {named[:LONGEST_NAME]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = str(arguments[0])
            if not path.startswith((self._log, os.devnull)) and not path.isdigit():
                self._note(f"wrote {path}")

    def _note(self, act: str) -> None:
        os.write(self._file, f"{act}\n".encode(errors="replace"))


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
    main(*sys.argv[1:])
