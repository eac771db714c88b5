"""Weight files: blobs of numbers, each behind 64 bytes that describe it."""

import math
import struct
from pathlib import Path

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray, DataType, packed_size, unpack

# At a blob's offset: magic, type, size in bytes and offset of the data, unused bits of the last byte.
_METADATA = struct.Struct("<IIQQQ")
_METADATA_SIZE = 64
_MAGIC = 0xDEADBEEF
HINT = "the file is cut short or belongs to another model; export or copy the package again"


class WeightFileError(ArtifactError):
    """A weight file that does not fit the program."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} does not fit the model: {reason}", HINT)


class BlobFile:
    """A weight file. Each read checks every bound before it allocates.

    The file is read, not mapped: a mapping of a file that shrinks meanwhile would kill the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size

    def read(self, offset: int, data_type: DataType, shape: tuple[int, ...]) -> AnyArray:
        """Returns the blob whose description stands at the offset; raises as ``content`` does."""
        return unpack(self.content(offset, data_type, shape), data_type, math.prod(shape)).reshape(shape)

    def content(self, offset: int, data_type: DataType, shape: tuple[int, ...]) -> bytes:
        """Returns the bytes of the blob whose description stands at the offset.

        Raises:
            WeightFileError: the file holds something else at the offset, or is shorter than the blob.
        """
        if offset + _METADATA_SIZE > self._size:
            raise WeightFileError(
                self._path, f"it ends at byte {self._size:,} and the program reads a weight at {offset:,}"
            )
        count = math.prod(shape)
        with self._path.open("rb") as file:
            file.seek(offset)
            magic, blob_type, size, start, _ = _METADATA.unpack(file.read(_METADATA.size))
            if magic != _MAGIC:
                raise WeightFileError(self._path, f"there is no weight at byte {offset:,}, where the program reads one")
            if blob_type != data_type.blob or size != packed_size(data_type, count):
                wanted = f"the {data_type.name} {list(shape)} that the program reads"
                raise WeightFileError(self._path, f"the weight at byte {offset:,} is not {wanted}")
            if start + size > self._size:
                raise WeightFileError(
                    self._path, f"it ends at byte {self._size:,}, and a weight reaches to {start + size:,}"
                )
            file.seek(start)
            return file.read(size)
