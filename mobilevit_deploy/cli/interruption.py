"""Ctrl-C and SIGTERM: they end a command by an exception, and none is lost in the libraries that it passes through."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
MESSAGE = "interrupted; nothing unfinished was left behind"
AGAIN_S = 0.05  # after which one is raised again that came where Python can raise nothing

_received: set[int] = set()  # no Event: in its lock, the handler of a second signal would wait for the first


def install() -> None:
    """Takes the signals over, for this process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def received() -> bool:
    """Returns whether one came. Raised inside of a library, it may come out as any other error of that library's."""
    return bool(_received)


def ignore() -> None:
    """Lets what is left when a command has ended, messages and cleaning up, come to its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _interrupt:  # not where somebody else's program runs the command
            signal.signal(number, signal.SIG_IGN)


def check() -> None:
    """Raises KeyboardInterrupt where a library has passed over an interruption."""
    if _received:
        raise KeyboardInterrupt


def heard(begin: Callable[[str], None]) -> Callable[[str], None]:
    """Returns what begins a stage of the work, which ends the command if a library has passed over an interruption."""

    def begin_or_end(stage: str) -> None:
        check()
        begin(stage)

    return begin_or_end


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    _received.add(signum)
    raise KeyboardInterrupt  # SIGTERM cleans up as Ctrl-C does


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Sends an interruption once more that came in a finalizer or in a callback of C, where it ends nothing."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)
