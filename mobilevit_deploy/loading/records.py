"""The records of a zip archive, held to the checksums that were written with them.

PyTorch's reader maps the file and compares nothing, so a byte that a disk or a download changed would be a weight.
``torch.serialization.set_crc32_options(False)`` and ``skip_data`` write 0 in place of a checksum: such a record is read
as it is. PyTorch's format before 1.6 and safetensors have no checksums.
"""

import copy
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mobilevit_deploy.errors import CheckpointError

CHUNK = 2**20  # bytes that are read at once
NOT_COMPUTED = 0
COPY_AGAIN = "the file is damaged: copy or download it again"


@dataclass(frozen=True)
class Record:
    """Where the values of a storage lie: a name in a zip archive."""

    path: Path
    name: str


def read_record(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Returns a record's bytes; raises BadZipFile where they are not those that were written."""
    if entry.CRC == NOT_COMPUTED:
        entry = copy.copy(entry)
        del entry.CRC  # zipfile then compares nothing
    return archive.read(entry)


def check_records(tensors: Mapping[str, Tensor], records: Mapping[int, Record]) -> None:
    """Compares what tensors were read from with its checksums; each record is read once.

    Args:
        tensors: by name.
        records: by the address of the storage that was made of each.

    Raises:
        CheckpointError: a tensor's bytes are not those that were written.
    """
    readers: dict[Record, str] = {}
    for name, tensor in tensors.items():
        record = None if tensor.is_meta else records.get(tensor.untyped_storage().data_ptr())
        if record:
            readers.setdefault(record, name)
    for path in {record.path for record in readers}:
        with zipfile.ZipFile(path) as archive:
            for record, name in readers.items():
                if record.path == path and not _is_whole(archive, record.name):
                    raise damaged(path, name)


def damaged(path: Path, name: str) -> CheckpointError:
    """Returns the error for a tensor whose bytes are not those that were written."""
    return CheckpointError(
        f"{name} in {path.name} is not what was written: its bytes and their checksum differ",
        COPY_AGAIN,
    )


def _is_whole(archive: zipfile.ZipFile, name: str) -> bool:
    entry = archive.getinfo(name)
    if entry.CRC == NOT_COMPUTED:
        return True
    try:
        with archive.open(entry) as stream:
            while stream.read(CHUNK):  # zipfile compares at the end
                pass
    except zipfile.BadZipFile:
        return False
    return True
