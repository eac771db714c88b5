"""Ending with the parent: a worker whose parent was killed would go on alone, for ever if it hangs."""

import ctypes
import os
import signal
import sys
import threading
import time

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl(2)
LOOK_S = 1.0


def end_with_parent() -> None:
    """Makes the system kill this process when the one that started it ends; first thing that a worker does.

    On Linux the system does it, whatever native code is at work. Elsewhere a thread looks once a second who the parent
    is, which native code that holds Python's lock delays.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        except (OSError, AttributeError):  # no such call in this C library
            pass
        else:
            if os.getppid() == parent:
                return
            os._exit(1)  # the parent ended before the call
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)
