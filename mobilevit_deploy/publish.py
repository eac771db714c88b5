"""From a working folder to final names: everything or nothing.

Files are written in a hidden folder beside their destination and renamed when all of them are finished, so
an export that fails or is interrupted leaves nothing that looks finished.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mobilevit_deploy.errors import OutputError

DEFAULT_FOLDER = Path("artifacts")
STAGING_PREFIX = ".mvd-unfinished-"


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Makes an empty working folder inside the output folder, and removes it at the end, whatever happens.

    Raises:
        OutputError: the output folder cannot be made or written.
    """
    made = _missing_parents(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder}: {error.strerror or error}", "give another folder with --out DIR"
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()  # an export that failed leaves no folder behind that it made


def publish(work: Path, folder: Path) -> list[Path]:
    """Moves everything in the working folder to its final name, in place of what is there; returns the new paths.

    Raises:
        OutputError: a rename failed.
    """
    old = work / "replaced"
    published = []
    try:
        items = sorted(work.iterdir())
        for item in items:
            final = folder / item.name
            if final.is_dir() and not final.is_symlink():  # a folder cannot be renamed over another
                old.mkdir(exist_ok=True)
                final.rename(old / item.name)
            os.replace(item, final)  # noqa: PTH105 - Path.replace is the same call, and less known to be atomic
            published.append(final)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}", "is the disk full?") from error
    return published


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
            raise OutputError(f"cannot write {path}: {error.strerror or error}", "is the disk full?") from error
        publish(work, path.parent)


def _missing_parents(folder: Path) -> list[Path]:
    """Returns the folders, innermost first, that do not exist yet."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
