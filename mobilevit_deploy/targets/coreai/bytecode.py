"""MLIR's bytecode, as far as large weights go: where each lies in a program's file, read as untrusted bytes.

Apple's packages do not hand these out. Source: https://mlir.llvm.org/docs/BytecodeFormat/
"""

from dataclasses import dataclass

MAGIC = b"ML\xefR"
STRINGS, BLOBS, BLOB_SIZES = 0, 5, 6  # numbers of sections


@dataclass(frozen=True)
class Blob:
    """A large weight: by which name the program knows it, and where its bytes lie in the file."""

    key: str
    start: int
    size: int


def find_blobs(content: bytes) -> list[Blob]:
    """Returns the large weights of a program, in the file's order; raises ValueError for bytes that are none."""
    try:
        return _find(content)
    except IndexError as error:
        raise ValueError("its bytecode is cut off") from error


def _find(content: bytes) -> list[Blob]:
    if content[:4] != MAGIC:
        raise ValueError("it is no bytecode of MLIR")
    _, place = _number(content, 4)  # the version
    sections = _sections(content, content.index(0, place) + 1)  # behind the producer's name
    if BLOB_SIZES not in sections or BLOBS not in sections or STRINGS not in sections:
        return []
    names = _names(content, *sections[STRINGS])
    place, end = sections[BLOB_SIZES]
    blobs, blobs_end = sections[BLOBS]
    groups, place = _number(content, place)
    if groups:
        raise ValueError("its bytecode has weights of an unknown kind")
    found = []
    while place < end:
        _, place = _number(content, place)  # of the dialect that they belong to
        count, place = _number(content, place)
        for _ in range(count):
            name, place = _number(content, place)
            whole, place = _number(content, place)
            alignment, start = _number(content, blobs)
            size, start = _number(content, start)
            start = _aligned(start, alignment)
            place += 1  # the kind of what lies there
            if start + size > blobs + whole or blobs + whole > blobs_end:
                raise ValueError("its bytecode is damaged: a weight lies outside of its place")
            found.append(Blob(names[name], start, size))
            blobs += whole
    return found


def _sections(content: bytes, place: int) -> dict[int, tuple[int, int]]:
    """Returns where each section begins and ends, by its number."""
    found = {}
    while place < len(content):
        kind = content[place]
        size, place = _number(content, place + 1)
        if kind & 0x80:
            alignment, place = _number(content, place)
            place = _aligned(place, alignment)
        if place + size > len(content):
            raise ValueError("its bytecode is cut off")
        found[kind & 0x7F] = (place, place + size)
        place += size
    return found


def _names(content: bytes, place: int, end: int) -> list[str]:
    """Returns the strings, whose lengths stand before them, the last one's first."""
    count, place = _number(content, place)
    found = []
    for _ in range(count):
        size, place = _number(content, place)
        found.append(content[max(0, end - size) : max(0, end - 1)].decode(errors="replace"))
        end -= size
    return found[::-1]


def _number(content: bytes, place: int) -> tuple[int, int]:
    """Returns a number and the place behind it; the zeros at the end of its first byte say how many bytes follow."""
    first = content[place]
    if first == 0:
        return int.from_bytes(content[place + 1 : place + 9], "little"), place + 9
    length = (first & -first).bit_length()
    return int.from_bytes(content[place : place + length], "little") >> length, place + length


def _aligned(place: int, alignment: int) -> int:
    if alignment < 1:
        raise ValueError("its bytecode is damaged: an alignment of zero")
    return -(-place // alignment) * alignment
