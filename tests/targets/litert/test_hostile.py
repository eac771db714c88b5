"""Damaged and hostile ``.tflite`` files, given to every command that takes one."""

import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilevit_deploy.targets.contents import compare
from mobilevit_deploy.targets.litert.contents import METADATA, contents_of
from mobilevit_deploy.targets.litert.tflite.metadata import metadata_ranges
from mobilevit_deploy.targets.litert.tflite.program import parse_program
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


Mutation = Callable[[bytearray, int, np.random.Generator], bytes | bytearray]  # of a file, at a place


def word(value: int) -> Mutation:
    """Writes a number of 32 bits where one may stand: a length, an offset, a number of a tensor or of a type."""

    def mutate(content: bytearray, place: int, _draw: np.random.Generator) -> bytearray:
        content[place & ~3 : (place & ~3) + 4] = struct.pack("<I", value)
        return content

    return mutate


def bits(count: int) -> Mutation:
    def mutate(content: bytearray, place: int, draw: np.random.Generator) -> bytearray:
        for _ in range(count):
            content[place] ^= 1 << int(draw.integers(8))
            place = int(draw.integers(8, len(content)))
        return content

    return mutate


def noise(content: bytearray, place: int, draw: np.random.Generator) -> bytearray:
    content[place : place + 64] = draw.bytes(len(content[place : place + 64]))
    return content


def swapped(content: bytearray, place: int, _draw: np.random.Generator) -> bytearray:
    content[place : place + 16] = content[place + 8 : place + 16] + content[place : place + 8]
    return content


MUTATIONS: dict[str, Mutation] = {
    "cut short": lambda content, place, _: content[:place],
    "a piece is missing": lambda content, place, _: content[:place] + content[place + 12 :],
    "a piece is there twice": lambda content, place, _: content[: place + 12] + content[place:],
    "zeros": lambda content, place, _: content[:place] + bytes(64) + content[place + 64 :],
    "noise": noise,
    "two numbers are swapped": swapped,
    "one bit": bits(1),
    "eight bits": bits(8),
    "a number is 0": word(0),
    "a number is -1": word(2**32 - 1),
    "a number is 2**31 - 1": word(2**31 - 1),
    "a number is 2**20": word(2**20),
}
EACH = 25  # of 12 kinds: 300


@pytest.mark.slow
def test_three_hundred_mutations(attack: Attacks, tflite: Path) -> None:
    """Where a file says how it is built: each is refused (1) or told by a digest (3), and nothing crashes or hangs.

    What hits the notes' own place leaves a file of nobody's, which has no digests: such a one may compute the same.
    """
    good = tflite.read_bytes()
    program, draw = parse_program(good, tflite.name), np.random.default_rng(0)
    left_out = [*metadata_ranges(good, METADATA), *program.buffers]  # notes, and weights, which have tests of their own
    structure = sorted(set(range(4, len(good))) - {place for start, end in left_out for place in range(start, end)})
    made: dict[tuple[str, int], bytes] = {}
    for kind, mutate in MUTATIONS.items():
        while sum(name == kind for name, _ in made) < EACH:
            changed = bytes(mutate(bytearray(good), int(draw.choice(structure)), draw))
            if changed != good:
                made[kind, len(made)] = changed
    found = attack(made, lambda place, case: COMMANDS["verify"](place.write("a.tflite", made[case]), tflite))
    codes = Counter(done.code for done in found.values())
    passed = [parse_program(made[case], tflite.name) for case, done in found.items() if done.code == 0]
    assert [compare(contents_of(program, tflite.name)).status for program in passed] == ["not noted"] * codes[0]
    assert (codes[1] + codes[3] + codes[0], codes[0] <= 3) == (len(MUTATIONS) * EACH, True)
    assert codes[1] > codes[3] > 0
