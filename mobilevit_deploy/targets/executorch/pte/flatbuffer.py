"""FlatBuffers as untrusted input: every place is checked before it is read, and the work has an end.

A table knows no names; its fields have the numbers that the schema gives them, from 0 in the order of the file.
Source: https://flatbuffers.dev/internals
"""

import struct
from collections.abc import Iterator

MOST_ITEMS = 5_000_000  # of all vectors that are read of one file; a ViT-L has some 10,000


class DamagedError(ValueError):
    """Bytes that are no FlatBuffer of the expected kind."""


class Bytes:
    """A FlatBuffer's bytes, and how many items may still be read of them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._left = MOST_ITEMS

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

    def spend(self, items: int, width: int, place: int) -> None:
        """Raises DamagedError for a vector that is longer than the file, or one too many."""
        self._left -= items
        if place + items * width > len(self.content) or self._left < 0:
            raise DamagedError("a list longer than the file")


class Table:
    """One table of a FlatBuffer; fields that are not there have the schema's defaults."""

    def __init__(self, data: Bytes, place: int) -> None:
        self._data, self._place = data, place
        self._fields = place - data.whole("i", place)
        self._size = data.whole("H", self._fields)

    @classmethod
    def root(cls, content: bytes) -> "Table":
        """Returns the table that a FlatBuffer begins with."""
        data = Bytes(content)
        return cls(data, data.whole("I", 0))

    def number(self, field: int, form: str, default: float = 0) -> int | float:
        """Returns a number, ``form`` as in ``struct``."""
        place = self._find(field)
        return default if place is None else self._data.number(form, place)

    def whole(self, field: int, form: str = "i", default: int = 0) -> int:
        """Returns an integer."""
        return int(self.number(field, form, default))

    def table(self, field: int) -> "Table | None":
        """Returns a table, or a union's value."""
        place = self._find(field)
        return None if place is None else Table(self._data, place + self._data.whole("I", place))

    def required(self, field: int) -> "Table":
        """Returns a table that must be there."""
        found = self.table(field)
        if found is None:
            raise DamagedError("a part is missing")
        return found

    def place(self, field: int) -> int | None:
        """Returns where the offset stands that leads to a field's text, list or table; None where there is none."""
        return self._find(field)

    def text(self, field: int) -> str:
        """Returns a text; empty where there is none."""
        start, count = self._vector(field, 1)
        try:
            return self._data.content[start : start + count].decode()
        except UnicodeDecodeError as error:
            raise DamagedError("a text in it is no UTF-8") from error

    def numbers(self, field: int, form: str = "i") -> list[int]:
        """Returns a list of integers."""
        width = struct.calcsize(f"<{form}")
        start, count = self._vector(field, width)
        return list(struct.unpack_from(f"<{count}{form}", self._data.content, start))

    def tables(self, field: int) -> "Iterator[Table]":
        """Yields a list of tables."""
        start, count = self._vector(field, 4)
        for place in range(start, start + 4 * count, 4):
            yield Table(self._data, place + self._data.whole("I", place))

    def content(self, field: int) -> bytes:
        """Returns a list of bytes."""
        start, count = self._vector(field, 1)
        return self._data.content[start : start + count]

    def _find(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = self._data.whole("H", self._fields + entry) if entry + 2 <= self._size else 0
        return self._place + offset if offset else None

    def _vector(self, field: int, width: int) -> tuple[int, int]:
        """Returns a vector's first place and how many items it has."""
        place = self._find(field)
        if place is None:
            return 0, 0
        place += self._data.whole("I", place)
        count = self._data.whole("I", place)
        # Weights and texts are taken as one piece, whatever their length.
        self._data.spend(count if width > 1 else 1, width, place + 4)
        if place + 4 + count * width > len(self._data.content):
            raise DamagedError("a list longer than the file")
        return place + 4, count
