"""Damaged and hostile ``.tflite`` files, given to every command that takes one."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.research.additive_net import __file__ as SOURCE
from tests.support.attacks import MANY, Place, flipped, rotated, tenths
from tests.support.hostile import Attacks

pytestmark = pytest.mark.usefixtures("litert")
NET = f"{SOURCE}:build"
COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "verify": lambda path, _: ("verify", path, "--model", NET),
    "compare": lambda path, good: ("compare", path, good, "--seconds", 0.1, "--threads", 1),
    "inspect": lambda path, _: ("inspect", path),
    "latency": lambda path, _: (
        "latency", path, "--backend", "litert", "--seconds", 0.1, "--threads", 1, "--pin", "none",
    ),
}  # fmt: skip
SHAPE = struct.pack("<5i", 4, 1, 3, 32, 32)
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "a root beyond the end": lambda content: struct.pack("<I", 2**31) + content[4:],
    "another format": lambda content: content[:4] + b"TFL9" + content[8:],
    "an image of 2 GB": lambda content: content.replace(SHAPE, struct.pack("<5i", 4, 1, 3, 2**15, 2**15)),
    "an image of no size": lambda content: content.replace(SHAPE, struct.pack("<5i", 4, 1, 3, 0, 0)),
    "metadata that is no JSON": lambda content: content.replace(b'{"mvd.', b"{ mvd."),
    "zeros behind the head": lambda content: content[:64] + bytes(len(content) - 64),
}
READABLE = "an image of no size"  # whose tables still hold together: no damage, but not the file that was exported


def written(place: Place, tflite: Path, command: str, content: bytes) -> tuple[object, ...]:
    good = place.write("good.tflite", tflite.read_bytes())
    return COMMANDS[command](place.write("a.tflite", content), good)


def test_the_good_file_passes(attack: Attacks, tflite: Path) -> None:
    found = attack(["inspect", "verify"], lambda place, command: written(place, tflite, command, tflite.read_bytes()))
    assert {done.code for done in found.values()} == {0}


def edited(tflite: Path) -> Callable[[Place, tuple[str, str]], tuple[object, ...]]:
    def make(place: Place, case: tuple[str, str]) -> tuple[object, ...]:
        changed = EDITS[case[0]](tflite.read_bytes())
        assert changed != tflite.read_bytes()
        return written(place, tflite, case[1], changed)

    return make


def test_edits(refuse: Attacks, tflite: Path) -> None:
    cases = [(case, command) for case in EDITS for command in COMMANDS]
    cases = [case for case in cases if case[0] != READABLE or case[1] in ("compare", "latency")]
    assert {done.code for done in refuse(cases, edited(tflite)).values()} == {1}


def test_an_edit_that_leaves_a_file(attack: Attacks, tflite: Path) -> None:
    """What can be read is told by the digest of its graph, before the runtime is given any of it."""
    found = attack([(READABLE, "verify"), (READABLE, "inspect")], edited(tflite))
    assert [done.code for done in found.values()] == [3, 0]
    assert "its graph differs from what was exported" in found[READABLE, "verify"].errors


@MANY
def test_truncated(refuse: Attacks, tflite: Path, many: bool) -> None:
    cut = list(tenths(tflite.read_bytes()))
    found = refuse(
        rotated(range(10), [*COMMANDS], many), lambda place, case: written(place, tflite, case[1], cut[case[0]])
    )
    assert {done.code for done in found.values()} == {1}


@MANY
def test_flipped_bytes(attack: Attacks, tflite: Path, many: bool) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless; the runtime's own end is no end of mvd's."""
    content = tflite.read_bytes()
    made = flipped(content, 10, many)
    cases = [(number, command) for number in range(len(made)) for command in ("inspect", "verify")]
    attack(cases, lambda place, case: COMMANDS[case[1]](place.write("a.tflite", made[case[0]]), tflite))
