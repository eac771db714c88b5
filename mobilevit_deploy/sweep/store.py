"""Where a sweep's files go: a folder, or any URL that fsspec opens.

A cell has a folder of its own, named by its digest. ``cell.json`` is written last: a cell that has none does not
exist, whatever else lies there. On a disk every file is written under another name and renamed; object stores show a
file when it is whole.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from mobilevit_deploy.errors import OutputError, UsageError, printable
from mobilevit_deploy.system.json_text import dumps

CELLS, DONE, FAILED, LOG = "cells", "cell.json", "failed.json", "log.txt"
UNFINISHED = ".unfinished-"
# Stores without folders, by fsspec's names: to make a folder there is to make a bucket, of a misspelt name too.
WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "r2", "b2", "hf"})
LARGEST_FILE = 2**26  # bytes; of a thousand cells, a megabyte
LARGEST_RECORD = 2**20  # of one cell, kilobytes
READERS = 16  # at once: an object store takes a tenth of a second for each


class Store:
    """The files of a sweep, or of several.

    Attributes:
        url: as it was given; of a folder, its full path.
    """

    def __init__(self, url: str) -> None:
        """Finds what opens a URL.

        Raises:
            UsageError: nothing does, or the package that does is not installed.
        """
        try:
            self._files, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"nothing here opens {url}: {error}", "give a folder, or a URL that fsspec opens"
            ) from error
        self._on_disk = isinstance(self._files, LocalFileSystem)
        protocols = {self._files.protocol} if isinstance(self._files.protocol, str) else set(self._files.protocol)
        self._folders = not protocols & WITHOUT_FOLDERS
        self.url = self._root if self._on_disk else url

    def read(self, name: str) -> bytes | None:
        """Returns a small file; None where there is none.

        Raises:
            OutputError: it is too large, or the store cannot be read.
        """
        path = self._path(name)
        with self._told():
            try:
                if self._files.size(path) > LARGEST_FILE:
                    raise OutputError(f"{name} in {self.url} is too large", "it is none that mvd wrote")
                content: bytes = self._files.cat_file(path)
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file, whole or not at all, in place of what is there; raises OutputError."""
        with self._told():
            self._put(name, content)

    def finished(self) -> dict[str, dict[str, Any]]:
        """Returns what ``cell.json`` says of every cell that exists, by digest."""
        return self._records(DONE)

    def failures(self) -> dict[str, dict[str, Any]]:
        """Returns likewise what is known of those that could not be made."""
        return self._records(FAILED)

    def cell(self, digest: str) -> dict[str, Any] | None:
        """Returns what is said of a cell; None where it does not exist."""
        return self._record(f"{CELLS}/{digest}/{DONE}")

    def publish(self, digest: str, folder: Path, record: Mapping[str, Any]) -> None:
        """Puts a cell's files in place, and last what says that it exists.

        Raises:
            OutputError: not all of it could be written; then it does not exist.
        """
        with self._told():
            for path in sorted(item for item in folder.rglob("*") if item.is_file()):
                self._put(f"{CELLS}/{digest}/{path.relative_to(folder).as_posix()}", path)
            self._put(f"{CELLS}/{digest}/{DONE}", _text(record))

    def fail(self, digest: str, record: Mapping[str, Any], log: bytes) -> None:
        """Writes down why a cell could not be made, with its log; raises OutputError."""
        with self._told():
            self._put(f"{CELLS}/{digest}/{LOG}", log)
            self._put(f"{CELLS}/{digest}/{FAILED}", _text(record))

    def tidy(self, digests: Collection[str]) -> None:
        """Removes what killed writers left of some cells, and why those that exist could not be made before."""
        with self._told():
            names = set(self._files.find(self._path(CELLS)))
            for path in names:
                folder, _, name = path.rpartition("/")
                mine = any(part in digests for part in folder.split("/"))
                if mine and (name.startswith(UNFINISHED) or (name == FAILED and f"{folder}/{DONE}" in names)):
                    self._files.rm_file(path)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _put(self, name: str, content: bytes | Path) -> None:
        final = self._path(name)
        folder, _, last = final.rpartition("/")
        if self._folders:
            self._files.makedirs(folder, exist_ok=True)
        path = f"{folder}/{UNFINISHED}{uuid4().hex}-{last}" if self._on_disk else final
        try:
            if isinstance(content, Path):
                self._files.put_file(str(content), path)
            else:
                self._files.pipe_file(path, content)
            if self._on_disk:
                os.replace(path, final)  # noqa: PTH105 - these are fsspec's paths
        except BaseException:
            if self._on_disk and os.path.lexists(path):
                os.unlink(path)  # noqa: PTH108
            raise

    def _records(self, last: str) -> dict[str, dict[str, Any]]:
        with self._told():
            root = self._path(CELLS)
            names: list[str] = self._files.glob(f"{root}/*/{last}")
        digests = [path.split("/")[-2] for path in names]
        with ThreadPoolExecutor(READERS) as readers:
            records = list(readers.map(lambda digest: self._record(f"{CELLS}/{digest}/{last}"), digests))
        return {digest: record for digest, record in zip(digests, records, strict=True) if record is not None}

    def _record(self, name: str) -> dict[str, Any] | None:
        """Returns a record; None where there is none, or it is damaged: then it is made again."""
        content = self.read(name)
        if content is None or len(content) > LARGEST_RECORD:
            return None
        try:
            record = json.loads(content)
        except (ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Makes what the store refuses an error that the user can read."""
        try:
            yield
        except OutputError:
            raise
        except Exception as error:  # stores of other packages raise what they like
            raise OutputError(
                f"cannot use {self.url}: {_reason(error)}", "is it there, may it be written, and is there room?"
            ) from error


def _text(record: Mapping[str, Any]) -> bytes:
    return f"{dumps(record)}\n".encode()


def _reason(error: BaseException) -> str:
    return printable((error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__)
