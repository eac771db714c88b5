"""A worker's program in forks of a process that has imported what it needs, which takes up to four seconds.

``python -m tests.support.warm_worker NAME SOCKET`` is that process. In the worker's place is started
``warm_client.py``: it hands its streams over, waits, and ends as its fork does; and the fork ends with it.
"""

import gc
import io
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mobilevit_deploy.system.parent_watch import end_with_parent

CLIENT = Path(__file__).with_name("warm_client.py")
Main = Callable[[], int | None]


@dataclass
class Fork:
    """One that runs.

    Attributes:
        pid: its process.
        ended: a file descriptor that can be read from then on.
        client: whose streams it has.
    """

    pid: int
    ended: int
    client: socket.socket


def coreai() -> Main:
    from mobilevit_deploy.targets.coreai import worker

    worker._fix_addresses()  # of this process, and so of its forks
    from mobilevit_deploy.targets.coreai import lower, program  # noqa: F401 - what takes long

    decompose_once()
    return worker.main


def onnxsim() -> Main:
    from mobilevit_deploy.targets.onnx import simplify_worker

    sys.modules["torch"] = None  # type: ignore[assignment]  # as the worker does
    import numpy  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxsim  # noqa: F401

    return simplify_worker.main


def executorch() -> Main:
    import executorch.runtime  # noqa: F401

    from mobilevit_deploy.targets.executorch import run_worker

    return run_worker.main


def litert() -> Main:
    from mobilevit_deploy.targets.litert import worker

    os.environ.update(worker.ENVIRONMENT)  # before its libraries are imported
    from mobilevit_deploy.targets.litert import lower, requantize, session  # noqa: F401 - what takes long

    return worker.main


def sweep() -> Main:
    from mobilevit_deploy.sweep.make import make_cell, prepare
    from mobilevit_deploy.sweep.worker import serve as serve_cells

    for target in ("onnx", "coreml"):
        prepare({"to": target})
    return lambda: serve_cells(make_cell, prepare)


WORKERS = {item.__name__: item for item in (coreai, onnxsim, executorch, litert, sweep)}


@contextmanager
def warm(name: str) -> Iterator[tuple[str, ...]]:
    """Starts the process for a worker, and gives the command that stands for the worker's own."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        command = [sys.executable, "-m", "tests.support.warm_worker", name, address]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment) as server:
            yield sys.executable, "-ISs", str(CLIENT), address
            server.kill()


def serve(name: str, path: str) -> None:
    """Forks for every client, until the parent ends."""
    end_with_parent()
    main = WORKERS[name]()
    gc.collect()
    gc.freeze()  # the forks do not touch what they share
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.unready")
    listener.listen()
    os.rename(f"{path}.unready", path)  # noqa: PTH104
    poll, forks = select.poll(), dict[int, Fork]()
    poll.register(listener, select.POLLIN)
    while True:
        for file, _ in poll.poll():
            if file == listener.fileno():
                client, _address = listener.accept()
                pid = fork(main, listener, client)
                made = Fork(pid, os.pidfd_open(pid), client)
                forks[made.ended] = forks[client.fileno()] = made
                poll.register(made.ended, select.POLLIN)
                poll.register(client, 0)  # tells of its end alone
            elif file in forks and file != forks[file].ended:
                os.kill(forks[file].pid, signal.SIGKILL)
                poll.unregister(file)
            elif file in forks:
                end(forks.pop(file), forks, poll)


def decompose_once() -> None:
    """Lets PyTorch make the tables that it keeps."""
    import torch
    from coreai_torch import get_decomp_table

    saved = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 8, 8),)), saved)
    saved.seek(0)
    torch.export.load(saved).run_decompositions(get_decomp_table())


def end(ended: Fork, forks: dict[int, Fork], poll: select.poll) -> None:
    """Tells a client how its fork ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(ended.pid, 0)[1])
    forks.pop(ended.client.fileno())
    poll.unregister(ended.ended)
    try:
        poll.unregister(ended.client)
        ended.client.sendall(str(code).encode())
    except (KeyError, OSError):  # it had ended before
        pass
    ended.client.close()
    os.close(ended.ended)


def fork(main: Main, listener: socket.socket, client: socket.socket) -> int:
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    content = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    pid = os.fork()
    if pid == 0:
        become(main, content.split("\0"), files, [listener, client])
    for file in files:
        os.close(file)
    return pid


def become(main: Main, variables: list[str], files: list[int], others: list[socket.socket]) -> NoReturn:
    """Is the worker's program from here on."""
    for stream, file in enumerate(files):
        os.dup2(file, stream)
        os.close(file)
    for other in others:
        other.close()
    os.environ.clear()
    for variable in variables:
        name, _, value = variable.partition("=")
        os.environ[name] = value
    tempfile.tempdir = None
    warnings.simplefilter("ignore")
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    code = 1
    try:
        code = main() or 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(*sys.argv[1:])
