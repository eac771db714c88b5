"""NumPy's files as untrusted input: what they claim to hold, before any of it is read."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

SMALL = 2**28  # bytes, which any machine has
MOST_COMPRESSED = 20  # photographs stored as numbers compress to a third, drawings to a tenth, weights not at all


def claimed_bytes(path: Path, wanted: Callable[[str], bool] = lambda _name: True) -> int:
    """Returns how many bytes a ``.npz`` or ``.npy`` unpacks to.

    Args:
        path: of the file.
        wanted: tells by its name whether an array of an archive will be read; the headers of those are looked at.

    Raises:
        ValueError: an array claims more values than there are bytes for.
        Exception: whatever zipfile raises for a damaged archive.
    """
    size = path.stat().st_size
    if path.suffix != ".npz":
        with path.open("rb") as stream:
            _check_header(stream, size)
        return size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.filename.endswith(".npy") and wanted(entry.filename.removesuffix(".npy")):
                with archive.open(entry) as stream:
                    _check_header(stream, entry.file_size)
    return sum(entry.file_size for entry in entries)


def is_bomb(claimed: int, size: int) -> bool:
    """Tells whether a file of ``size`` bytes unpacks to more than arrays do."""
    return claimed > SMALL and claimed > MOST_COMPRESSED * size


def _check_header(stream: IO[bytes], size: int) -> None:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # version 3 is for fields with names, which neither images nor weights have
        raise ValueError(f"it has the format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"it claims {dtype} of shape {shape}, and has {size} bytes")
