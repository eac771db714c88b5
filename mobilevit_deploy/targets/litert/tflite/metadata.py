"""An entry of a file's metadata, added or replaced; everything else keeps its bytes.

A FlatBuffer is written from its end to its beginning, and what comes later refers to what was there before. So a file
is taken as what was written already, and a new head is written in front of it: a model with its old parts and one entry
more. What the entry holds stands at the very end of the file, where it can be of any length, and nothing else moves
when it is replaced.

The schema's own classes for Python, which read a model and write it again, do not keep the alignment of its weights
(``force_align`` in the schema), on which kernels may rely; here weights move by multiples of ``ALIGNMENT``.
Source: https://flatbuffers.dev/internals
"""

import struct
from collections.abc import Mapping, Sequence

import flatbuffers

from mobilevit_deploy.targets.flatbuffer import DamagedError, Table, pick
from mobilevit_deploy.targets.litert.tflite.program import BUFFERS, IDENTIFIER, METADATA, NO_DATA, SUBGRAPHS

ALIGNMENT = 64  # bytes, by multiples of which a file moves; the schema asks for 16
OF_BUFFERS = 16  # bytes, of what a buffer holds, by the schema
KNOWN_FIELDS = 10  # of the model: the first is a number, the others lead to texts and lists
DATA = 0  # a buffer's field
LARGEST = 2**31 - 2**20  # bytes of a FlatBuffer, with room for a head


def write_metadata(content: bytes, name: str, text: bytes) -> bytes:
    """Returns a file with an entry in its metadata, in place of the one of that name, if there is one.

    The same file and text give the same bytes, whether the entry is new or replaces one that this function wrote. What
    an entry of another writer held stays in the file, unused.

    Args:
        content: of a ``.tflite`` file that was read, so it is known to be whole.
        name: of the entry.
        text: what it holds.

    Raises:
        DamagedError: parts of the model lie outside of the FlatBuffer, or the schema is newer than this one.
    """
    root = Table.root(content)
    _check(root, content)
    place = _place(root, name)
    if place is None:
        content = _with_entry(root, content, name)
        place = _place(Table.root(content), name)
        assert place is not None  # it was just written
    start, end = _range(content, place)
    changed = bytearray(content[:start] if end == len(content) else content)
    changed += bytes(-(len(changed) + 4) % OF_BUFFERS)
    struct.pack_into("<I", changed, place, len(changed) - place)
    return bytes(changed + struct.pack("<I", len(text)) + text)


def metadata_ranges(content: bytes, name: str) -> list[tuple[int, int]]:
    """Returns what differs between two files that ``write_metadata`` gave another text for one entry.

    Args:
        content: of a file that was read.
        name: of the entry.

    Returns:
        Where the offset stands that leads to the entry's text, and where that stands; nothing without such an entry.
    """
    place = _place(Table.root(content), name)
    return [] if place is None else [(place, place + 4), _range(content, place)]


def _check(root: Table, content: bytes) -> None:
    """Raises DamagedError for a model that a new head could not take over whole."""
    if any(root.place(field) is not None for field in range(KNOWN_FIELDS, root.fields)):
        raise DamagedError("its schema is newer than the one that mvd knows")
    outside = any(item.whole(1, "Q") > NO_DATA for item in root.tables(BUFFERS))
    outside |= any(item.whole(9, "Q") > NO_DATA for graph in root.tables(SUBGRAPHS) for item in graph.tables(3))
    if outside or len(content) > LARGEST:
        raise DamagedError("parts of it lie behind the FlatBuffer, as in files above 2 GB, and would move")


def _place(root: Table, name: str) -> int | None:
    """Returns where the offset stands that leads to what an entry holds, if nothing else refers to that."""
    entries = [(item.text(0), item.whole(1, "I")) for item in root.tables(METADATA)]
    numbers = [number for found, number in entries if found == name]
    used = [number for _, number in entries]
    used += [item.whole(2, "I") for graph in root.tables(SUBGRAPHS) for item in graph.tables(0)]
    if len(numbers) != 1 or used.count(numbers[0]) != 1:
        return None
    buffers = list(root.tables(BUFFERS))
    (buffer,) = pick(buffers, numbers)
    shared = sum(item.target(DATA) == buffer.target(DATA) for item in buffers) > 1
    return None if shared else buffer.place(DATA)


def _range(content: bytes, place: int) -> tuple[int, int]:
    """Returns where what an offset leads to begins, with its length, and where it ends."""
    start = place + int(struct.unpack_from("<I", content, place)[0])
    return start, start + 4 + int(struct.unpack_from("<I", content, start)[0])


def _with_entry(root: Table, content: bytes, name: str) -> bytes:
    """Returns the file with a new head, which has an empty entry."""
    builder = flatbuffers.Builder(len(content) + 4 * ALIGNMENT)
    empty = builder.CreateByteVector(b"")
    builder.Prep(ALIGNMENT, len(content))
    begin = builder.CreateByteVector(content) - 4  # counted from the end; in front of it stands its length

    def old(places: Sequence[int]) -> list[int]:
        """Returns places of the file as the builder counts, from the end."""
        return [begin - place for place in places]

    def table(number: tuple[int, int] | None, parts: Mapping[int, int]) -> int:
        builder.StartObject(KNOWN_FIELDS)
        for field, offset in parts.items():
            builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        if number is not None:
            builder.PrependUint32Slot(*number, 0)
        return int(builder.EndObject())

    def tables(offsets: Sequence[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    buffers = old([item.start for item in root.tables(BUFFERS)])
    entries = old([item.start for item in root.tables(METADATA) if item.text(0) != name])
    title = builder.CreateString(name)
    entries.append(table((1, len(buffers)), {0: title}))
    buffers.append(table(None, {DATA: empty}))
    fields = {field: place for field in range(1, KNOWN_FIELDS) if (place := root.target(field)) is not None}
    parts = dict(zip(fields, old(list(fields.values())), strict=True))
    parts |= {METADATA: tables(entries), BUFFERS: tables(buffers)}
    builder.Finish(table((0, root.whole(0, "I")), parts), IDENTIFIER)
    return bytes(builder.Output())
