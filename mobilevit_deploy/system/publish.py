"""From a working folder to final names: everything or nothing.

Files are written in a hidden folder beside their destination and put in place when all of them are finished, so an
export that fails or is interrupted leaves nothing that looks finished. What is put in place is written down first: if
the process dies in the middle, the next one that works in the folder finishes it, and removes what was left behind.
"""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from mobilevit_deploy.errors import STORAGE, ConversionError, OutputError, environment_fault
from mobilevit_deploy.system.atomic_replace import exchange
from mobilevit_deploy.system.owned_folders import Claim, abandoned, claim, locked

DEFAULT_FOLDER = Path("artifacts")
STAGING_PREFIX = ".mvd-unfinished-"
NEW, OLD, READY = "new", "old", "ready.json"  # in the hidden folder: what is written, what was replaced, the note
PROBE_BYTES = 2**20
ATTEMPTS = 3  # another export that fails may remove the folder that it made


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Makes an empty working folder inside the output folder, and removes it at the end, whatever happens.

    Raises:
        OutputError: the output folder cannot be made or written, its disk is full, or it disappeared meanwhile.
    """
    made = _missing_parents(folder)
    try:
        claimed = _claim(folder)
        work = claimed.path / NEW
        work.mkdir()
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder}: {_reason(error)}", "give another folder with --out DIR"
        ) from error
    try:
        yield work
    except Exception as error:
        if isinstance(error, OutputError) or not (reason := _storage_fault(error, claimed.path)):
            raise
        raise OutputError(f"cannot write into {folder}: {reason}", "nothing was published") from error
    finally:
        claimed.release()
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()  # an export that failed leaves no folder behind that it made


def _claim(folder: Path) -> Claim:
    """Makes the folder and a working folder in it, after finishing what others left there; raises OSError."""
    for attempt in range(ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                _finish_abandoned(folder)
            return claim(folder, STAGING_PREFIX)
        except FileNotFoundError:  # another export that failed removed the folder that it had made
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def publish(work: Path, folder: Path) -> list[Path]:
    """Moves everything in the working folder to its final name, in place of what is there; returns the new paths.

    Raises:
        OutputError: a rename failed; what was there before is back.
    """
    items = sorted(work.iterdir())
    try:
        with _uninterrupted(), locked(folder):
            _finish_abandoned(folder)
            _note(work.parent, items)
            _put_all(items, folder)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {_reason(error)}", "is the disk full?") from error
    return [folder / item.name for item in items]


def publish_text(text: str, path: Path) -> None:
    """Writes one text file, whole or not at all, in place of what is there.

    Raises:
        OutputError: it cannot be written, or there is a folder of that name.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder", "give the name of a file")
    with staging(path.parent) as work:
        try:
            (work / path.name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {_reason(error)}", "is the disk full?") from error
        publish(work, path.parent)


def _note(root: Path, items: Sequence[Path]) -> None:
    """Writes down what is to be put in place; from here on it is finished, by this process or by the next one."""
    draft = root / f"{READY}.draft"
    draft.write_text(json.dumps({item.name: item.lstat().st_ino for item in items}), encoding="utf-8")
    draft.rename(root / READY)


def _finish_abandoned(folder: Path) -> None:
    """Finishes what processes that are gone were putting in place, and removes what they left; raises OSError."""
    for left in abandoned(folder, STAGING_PREFIX):
        try:
            noted = json.loads((left.path / READY).read_text(encoding="utf-8"))
            items = [left.path / NEW / name for name in noted]
            # What was put in place already has left, or what it replaced now has its name here.
            _put_all([item for item in items if _inode(item) == noted[item.name]], folder)
        except (FileNotFoundError, ValueError):
            pass  # it had not come so far
        left.release()


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def _put_all(items: Sequence[Path], folder: Path) -> None:
    """Puts files and folders in place, all or none; raises OSError."""
    undo: list[Callable[[], object]] = []
    try:
        for item in items:
            undo.append(_put(item, folder / item.name))
    except OSError:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise


def _put(item: Path, final: Path) -> Callable[[], object]:
    """Puts one file or folder in place, and returns what undoes it; raises OSError."""
    if not os.path.lexists(final):
        item.rename(final)
        return lambda: _take_back(item, final)
    if exchange(item, final):
        return lambda: exchange(item, final)
    if final.is_dir() and not final.is_symlink():  # a folder cannot be renamed over another
        old = item.parents[1] / OLD / item.name
        old.parent.mkdir(exist_ok=True)
        final.rename(old)
        item.rename(final)
        return lambda: _take_back(item, final, old)
    os.replace(item, final)  # noqa: PTH105 - Path.replace is the same call, and less known to be atomic
    return lambda: None  # where names cannot be swapped, the file that was here is gone


def _take_back(item: Path, final: Path, old: Path | None = None) -> None:
    try:
        final.rename(item)
    except FileNotFoundError:  # the working folder itself has disappeared
        if final.is_dir() and not final.is_symlink():
            shutil.rmtree(final)
        else:
            final.unlink()
    if old:
        old.rename(final)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back for the moment that renaming takes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread alone
        return
    arrived: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def _storage_fault(error: Exception, root: Path) -> str | None:
    """Returns what is wrong with the disk or the folder, if that is what an error comes from."""
    if not root.is_dir():
        return "it was removed meanwhile"
    fault = environment_fault(error)
    if fault and fault.errno in STORAGE:
        return _reason(fault)
    if not isinstance(error, ConversionError | RuntimeError):
        return None
    try:  # native code that writes files, and raises these, does not say why it failed
        probe = root / "probe"
        probe.write_bytes(bytes(PROBE_BYTES))
        probe.unlink()
    except OSError as refusal:
        return _reason(refusal)
    return None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _missing_parents(folder: Path) -> list[Path]:
    """Returns the folders, innermost first, that do not exist yet."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
