"""Programs that run in a process of their own, because they may crash, hang or disturb a measurement."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# -P: a file of the user's that is called like a module, random.py or onnx.py, is not imported from the current folder.
CHILD = (sys.executable, "-P", "-m")


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
