"""A worker's program in forks of a process that has imported what it needs: Core AI's takes four seconds for that.

``python -m tests.support.warm_worker SOCKET`` is that process. ``warm_client.py`` is what is started in the worker's
place: it hands its streams over, waits, and ends as its fork does; and the fork ends with it.
"""

import gc
import io
import os
import select
import signal
import socket
import sys
import tempfile
import warnings
from dataclasses import dataclass
from typing import NoReturn

from mobilevit_deploy.system.parent_watch import end_with_parent
from mobilevit_deploy.targets.coreai import worker


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


def serve(path: str) -> None:
    """Forks for every client, until the parent ends."""
    worker._fix_addresses()
    end_with_parent()
    from mobilevit_deploy.targets.coreai import lower, program  # noqa: F401 - what takes long

    decompose_once()
    gc.collect()
    gc.freeze()  # the forks do not touch what they share
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    poll, forks = select.poll(), dict[int, Fork]()
    poll.register(listener, select.POLLIN)
    while True:
        for file, _ in poll.poll():
            if file == listener.fileno():
                client, _address = listener.accept()
                pid = fork(listener, client)
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


def fork(listener: socket.socket, client: socket.socket) -> int:
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    content = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    pid = os.fork()
    if pid == 0:
        become(content.split("\0"), files, [listener, client])
    for file in files:
        os.close(file)
    return pid


def become(variables: list[str], files: list[int], others: list[socket.socket]) -> NoReturn:
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
        code = worker.main()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
