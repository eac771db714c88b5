"""The text that a constant method returns, put in the place of another one.

It lies at the end of the FlatBuffer, in front of the segments: there it may be of any length, and nothing moves but the
segments, whose places count from where they begin.
"""

import struct

from mobilevit_deploy.targets.executorch.pte.program import EXTENDED, TEXT
from mobilevit_deploy.targets.flatbuffer import DamagedError, Table

ALIGNMENT = 128  # of the first segment, which is ExecuTorch's own
SIZES = 16  # where the header says how long the FlatBuffer is, and where the segments begin


def replace_text(content: bytes, method: str, text: str) -> bytes:
    """Returns a program with another text.

    Args:
        content: of a ``.pte`` file with segments.
        method: that returns a text.
        text: to return.

    Raises:
        DamagedError: there is no such method, or there are no segments.
    """
    if content[8:12] != EXTENDED:
        raise DamagedError("it has no segments")
    size, base = struct.unpack_from("<QQ", content, SIZES)
    place = _place(content[:size], method)
    if place is None:
        raise DamagedError(f"no method {method} returns a text")
    start, _ = _range(content, place)
    kept = content[: start if _is_last(content, place, size) else size]
    kept += bytes(-len(kept) % 4)
    encoded = text.encode()
    program = bytearray(kept + struct.pack("<I", len(encoded)) + encoded + b"\0")
    program += bytes(-len(program) % 4)
    struct.pack_into("<I", program, place, len(kept) - place)
    padding = bytes(-len(program) % ALIGNMENT)
    struct.pack_into("<QQ", program, SIZES, len(program), len(program) + len(padding))
    return bytes(program) + padding + content[base:]


def without_text(content: bytes, method: str) -> bytes:
    """Returns the FlatBuffer of a file but for a method's text, where that lies, and the sizes in the header."""
    size = len(content)
    if content[8:12] == EXTENDED:
        (size,) = struct.unpack_from("<Q", content, SIZES)
    program = bytearray(content[:size])
    place = _place(bytes(program), method)
    if place is not None:
        start, end = _range(content, place)
        program[start : size if _is_last(content, place, size) else end] = b""
        program[place : place + 4] = bytes(4)
    if content[8:12] == EXTENDED:
        program[SIZES : SIZES + 16] = bytes(16)
    return bytes(program)


def _place(program: bytes, method: str) -> int | None:
    """Returns where the offset stands that leads to a method's text."""
    plan = next((plan for plan in Table.root(program).tables(1) if plan.text(0) == method), None)
    results = plan.numbers(4) if plan else []
    if plan is None or len(results) != 1:
        return None
    values = list(plan.tables(2))
    if not 0 <= results[0] < len(values) or values[results[0]].whole(0, "B") != TEXT:
        return None
    return values[results[0]].required(1).place(0)


def _range(content: bytes, place: int) -> tuple[int, int]:
    """Returns where a text begins, its length before it, and where it ends."""
    start = place + struct.unpack_from("<I", content, place)[0]
    return start, start + 4 + struct.unpack_from("<I", content, start)[0] + 1


def _is_last(content: bytes, place: int, size: int) -> bool:
    """Tells whether nothing but padding lies behind a text, and what leads to it lies before it."""
    start, end = _range(content, place)
    return place < start and end <= size <= end + 3
