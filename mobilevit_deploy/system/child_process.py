"""Programs that run in a process of their own, because they may crash, hang or disturb a measurement."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

# -P: a file of the user's that is called like a module, random.py or onnx.py, is not imported from the current folder.
CHILD = (sys.executable, "-P", "-m")


def run_tool(command: Sequence[str], limit_s: float) -> "subprocess.CompletedProcess[str]":
    """Runs a program of somebody else's to its end; nothing is typed to it, and what it prints is read as text.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``limit_s``, in seconds.
        OSError: it cannot be started.
    """
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def deadline(limit_s: float, stop: Callable[[], object]) -> Iterator[threading.Event]:
    """Calls ``stop`` when the block takes longer; the event tells afterwards whether it did.

    Args:
        limit_s: in seconds.
        stop: ends what the block waits for, such as the ``kill`` of a process.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        stop()

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()  # its thread holds what ``stop`` belongs to, and would otherwise be the last to let go of it


def ask_line(process: "subprocess.Popen[str]", request: Mapping[str, Any], limit_s: float) -> tuple[str, bool]:
    """Sends a request, a line of JSON, and waits for the answer's line; kills the process when it takes too long.

    Args:
        process: with pipes for its standard input and output.
        request: as JSON takes it.
        limit_s: in seconds.

    Returns:
        The line, empty when the process ended without one, and whether the time was over.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    line = ""
    with deadline(limit_s, process.kill) as late, suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    return line, late.is_set()
