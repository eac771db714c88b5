"""Putting a file or folder in the place of another in one step, so that at no moment there is none."""

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_AT_FDCWD = -100  # Linux: paths are relative to the current folder
_SWAP = 2  # RENAME_EXCHANGE of Linux's renameat2, RENAME_SWAP of macOS's renamex_np
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def exchange(first: Path, second: Path) -> bool:
    """Swaps the names of two files or folders of one file system; returns False where that is not possible.

    Raises:
        OSError: the system refused it.

    Source: renameat2(2) of Linux 3.15 and later; renamex_np(2) of macOS 10.12 and later.
    """
    if (call := _system_call()) is None:
        return False
    if call(os.fsencode(first), os.fsencode(second)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


@cache
def _system_call() -> Any:
    """Returns a function of two paths, or None where the system has none."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            rename = library.renamex_np
            rename.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
            return lambda first, second: rename(first, second, _SWAP)
        if sys.platform == "linux":
            rename = library.renameat2
            rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
            return lambda first, second: rename(_AT_FDCWD, first, _AT_FDCWD, second, _SWAP)
    except (OSError, AttributeError, TypeError):  # an old C library
        pass
    return None
