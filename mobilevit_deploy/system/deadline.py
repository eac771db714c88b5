"""A time limit on what native code or another process does: neither looks at Python's signals meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
