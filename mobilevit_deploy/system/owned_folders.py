"""Folders that belong to a running process, and what to do with those whose process is gone.

A working folder is locked by the process that made it. The system gives a lock up when its process ends, however that
happens, so a later run can tell what was left behind from what is still in use; process numbers are used again.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing is cleaned up
    fcntl = None  # type: ignore[assignment]

PATIENCE_S = 60  # another process holds a lock while it renames some files
LOOK_S = 0.02


@dataclass
class Claim:
    """A folder of this process; ``lock`` is None where the file system locks nothing."""

    path: Path
    lock: int | None

    def release(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.lock is not None:
            with suppress(OSError):
                os.close(self.lock)
            self.lock = None


def claim(parent: Path, prefix: str) -> Claim:
    """Makes a folder that no other process cleans up while this one runs; raises OSError."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # Before it is locked, another process that cleans up may take it for one that was left behind.
        try:
            lock = _lock(path)
        except FileNotFoundError:
            continue
        except OSError:
            return Claim(path, None)
        if lock is not None and path.is_dir():
            return Claim(path, lock)
        if lock is not None:
            os.close(lock)


def abandoned(parent: Path, prefix: str) -> Iterator[Claim]:
    """Yields the folders whose process is gone, locked; the caller releases them."""
    for path in sorted(parent.glob(f"{prefix}*")):
        with suppress(OSError):  # no locks here, or somebody else removed it
            if path.is_dir() and (lock := _lock(path)) is not None:
                yield Claim(path, lock)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Waits for its turn with a folder that processes share.

    Raises:
        TimeoutError: another process does not give it back.
        OSError: it is not there.
    """
    end = time.monotonic() + PATIENCE_S
    while (lock := _lock_if_possible(folder)) is None:
        if time.monotonic() > end:
            raise TimeoutError(errno.ETIMEDOUT, f"another process has held it for {PATIENCE_S} s", str(folder))
        time.sleep(LOOK_S)
    try:
        yield
    finally:
        if lock >= 0:
            os.close(lock)


def _lock_if_possible(folder: Path) -> int | None:
    """Returns a lock, None where another process has it, -1 where nothing can be locked; raises FileNotFoundError."""
    try:
        return _lock(folder)
    except FileNotFoundError:
        raise
    except OSError:
        return -1


def _lock(folder: Path) -> int | None:
    """Returns a lock, or None where another process has it; raises OSError where nothing can be locked."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "no locks on this system")
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:
        os.close(file)
        raise
    return file
