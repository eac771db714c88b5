"""FlatBuffers as untrusted input: every place is checked before it is read, and the work has an end.

A table knows no names; its fields have the numbers that the schema gives them, from 0 in the order of the file.
Source: https://flatbuffers.dev/internals
"""

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mobilevit_deploy.errors import ArtifactError

Item = TypeVar("Item")

COPY_AGAIN = "export or copy the file again"
DAMAGE = "it is damaged, or was made to do harm: do not use it"
LARGEST_FILE = 2**32  # bytes; the largest of the families here has 350 MB
LARGEST_TENSOR = 2**31  # bytes, of one value or one buffer
MOST_AXES = 16
MOST_ITEMS = 5_000_000  # of all vectors that are read of one file; a ViT-L has some 10,000
MOST_READINGS = 4  # of the same bytes, as texts or as content: what is shared is read once for each that shares it


class DamagedError(ValueError):
    """Bytes that are no FlatBuffer of the expected kind."""


class Bytes:
    """A FlatBuffer's bytes, and how many items and how much text may still be read of them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._items = MOST_ITEMS
        self._bytes = MOST_READINGS * len(content)

    def number(self, form: str, place: int) -> int | float:
        """Returns one number; raises DamagedError for a place outside."""
        if place < 0:
            raise DamagedError("a place before its beginning")
        try:
            value: int | float = struct.unpack_from(f"<{form}", self.content, place)[0]
        except struct.error as error:
            raise DamagedError("a place beyond its end") from error
        return value

    def whole(self, form: str, place: int) -> int:
        """Returns one integer."""
        return int(self.number(form, place))

    def check_range(self, start: int, size: int) -> None:
        """Raises DamagedError for bytes that lie outside."""
        if start < 0 or start + size > len(self.content):
            raise DamagedError("a list longer than the file")

    def spend(self, items: int) -> None:
        """Raises DamagedError for one list too many."""
        self._items -= items
        if self._items < 0:
            raise DamagedError("more lists than any model has")

    def spend_bytes(self, size: int) -> None:
        """Raises DamagedError where the same bytes are read again and again."""
        self._bytes -= size
        if self._bytes < 0:
            raise DamagedError("its parts lie in one another")


class Table:
    """One table of a FlatBuffer; fields that are not there have the schema's defaults."""

    def __init__(self, data: Bytes, place: int) -> None:
        self.data, self.start = data, place
        self._fields = place - data.whole("i", place)
        self._size = data.whole("H", self._fields)

    @classmethod
    def root(cls, content: bytes) -> "Table":
        """Returns the table that a FlatBuffer begins with."""
        data = Bytes(content)
        return cls(data, data.whole("I", 0))

    @property
    def fields(self) -> int:
        """Returns how many fields it may have, those with the schema's defaults among them."""
        return max(0, self._size - 4) // 2

    def number(self, field: int, form: str, default: float = 0) -> int | float:
        """Returns a number, ``form`` as in ``struct``."""
        place = self.place(field)
        return default if place is None else self.data.number(form, place)

    def whole(self, field: int, form: str = "i", default: int = 0) -> int:
        """Returns an integer."""
        return int(self.number(field, form, default))

    def table(self, field: int) -> "Table | None":
        """Returns a table, or a union's value."""
        place = self.target(field)
        return None if place is None else Table(self.data, place)

    def required(self, field: int) -> "Table":
        """Returns a table that must be there."""
        found = self.table(field)
        if found is None:
            raise DamagedError("a part is missing")
        return found

    def place(self, field: int) -> int | None:
        """Returns where a field stands, or the offset that leads to its text, list or table; None without one."""
        entry = 4 + 2 * field
        offset = self.data.whole("H", self._fields + entry) if entry + 2 <= self._size else 0
        return self.start + offset if offset else None

    def target(self, field: int) -> int | None:
        """Returns where a field's text, list or table begins; None where there is none."""
        place = self.place(field)
        return None if place is None else place + self.data.whole("I", place)

    def text(self, field: int) -> str:
        """Returns a text; empty where there is none."""
        try:
            return self.content(field).decode()
        except UnicodeDecodeError as error:
            raise DamagedError("a text in it is no UTF-8") from error

    def numbers(self, field: int, form: str = "i") -> list[int]:
        """Returns a list of integers."""
        return list(map(int, self._list(field, form)))

    def reals(self, field: int) -> list[float]:
        """Returns a list of numbers in single precision."""
        return list(map(float, self._list(field, "f")))

    def tables(self, field: int) -> "Iterator[Table]":
        """Yields a list of tables."""
        start, count = self._vector(field, 4)
        self.data.spend(count)
        for place in range(start, start + 4 * count, 4):
            yield Table(self.data, place + self.data.whole("I", place))

    def content(self, field: int) -> bytes:
        """Returns a list of bytes."""
        start, end = self.range(field)
        return self.data.content[start:end]

    def range(self, field: int) -> tuple[int, int]:
        """Returns where a list of bytes begins and ends; nothing of a weight is copied by that."""
        start, count = self._vector(field, 1)
        self.data.spend(1)
        self.data.spend_bytes(count)
        return start, start + count

    def _list(self, field: int, form: str) -> tuple[int | float, ...]:
        start, count = self._vector(field, struct.calcsize(f"<{form}"))
        self.data.spend(count)
        return struct.unpack_from(f"<{count}{form}", self.data.content, start)

    def _vector(self, field: int, width: int) -> tuple[int, int]:
        """Returns a vector's first place and how many items it has."""
        place = self.target(field)
        if place is None:
            return 0, 0
        count = self.data.whole("I", place)
        self.data.check_range(place + 4, count * width)
        return place + 4, count


def read_file(path: Path, identifiers: Sequence[bytes], kind: str) -> bytes:
    """Returns the bytes of a file that begins with a FlatBuffer.

    Args:
        path: of the file.
        identifiers: one of which it must have, of four bytes.
        kind: of file, as a message says it: ``ExecuTorch program``.

    Raises:
        ArtifactError: it is missing, of another kind, or larger than a model for a telephone.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ArtifactError(f"{path} is no file", COPY_AGAIN)
    if path.stat().st_size > LARGEST_FILE:
        raise ArtifactError(f"{path.name} has more than 4 GB, which is no model for a telephone", DAMAGE)
    content = path.read_bytes()
    if content[4:8] not in identifiers:
        raise ArtifactError(f"{path.name} is no {kind}, or damaged", COPY_AGAIN)
    return content


def check_size(shape: Sequence[int], width: float) -> None:
    """Raises DamagedError for a tensor that no telephone holds; ``width`` is that of one value, in bytes."""
    if len(shape) > MOST_AXES or any(size < 0 for size in shape) or math.prod(shape) * width > LARGEST_TENSOR:
        shown = "x".join(map(str, shape[:8]))
        raise DamagedError(f"a tensor of {shown}, which no model for a telephone has")


def pick(items: Sequence[Item], places: Sequence[int]) -> tuple[Item, ...]:
    """Returns items by their numbers; raises DamagedError, for a number from the file may be wrong."""
    if any(not 0 <= place < len(items) for place in places):
        raise DamagedError("it refers to what is not there")
    return tuple(items[place] for place in places)
