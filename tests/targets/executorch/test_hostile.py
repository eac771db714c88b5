"""Hostile and broken ExecuTorch programs, given to every command that takes one."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loading.hostile_cases import PLACES
from tests.research.additive_net import __file__ as SOURCE
from tests.support.attacks import MANY, Place, flipped, rotated, tenths
from tests.support.hostile import Attacks

NET = f"{SOURCE}:build"
COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "verify": lambda path, _: ("verify", path, "--model", NET),
    "compare": lambda path, good: ("compare", path, good, "--seconds", 0.1, "--threads", 1),
    "inspect": lambda path, _: ("inspect", path),
    "latency": lambda path, _: (
        "latency", path, "--backend", "executorch", "--seconds", 0.1, "--threads", 1, "--pin", "none",
    ),
}  # fmt: skip

SHAPE = struct.pack("<5i", 4, 1, 3, 32, 32)
HUGE = struct.pack("<I", 2**31)
# What is written at one place of the file; None for a place that is sought.
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "a root beyond the end": lambda content: HUGE + content[4:],
    "a root that is its own table": lambda content: bytes(4) + content[4:],
    "another format": lambda content: content[:4] + b"ET99" + content[8:],
    "a program without end": lambda content: content[:16] + struct.pack("<Q", 2**63) + content[24:],
    "segments beyond the end": lambda content: content[:24] + struct.pack("<Q", 2**63) + content[32:],
    "segments in the program": lambda content: content[:24] + struct.pack("<Q", 8) + content[32:],
    "an image of 2 GB": lambda content: content.replace(SHAPE, struct.pack("<5i", 4, 1, 3, 2**15, 2**15)),
    "an image of no size": lambda content: content.replace(SHAPE, struct.pack("<5i", 4, 1, 3, 0, 0)),
    "an image of negative size": lambda content: content.replace(SHAPE, struct.pack("<5i", 4, 1, 3, -32, 32)),
    "an unknown backend": lambda content: content.replace(b"XnnpackBackend", b"PlantedBackend"),
    "an XNNPACK graph without end": lambda content: content.replace(b"XH00", b"XH01"),
    "metadata that is no JSON": lambda content: content.replace(b'{"input"', b'{"input '),
    "zeros behind the header": lambda content: content[:64] + bytes(len(content) - 64),
}
# Whose metadata and tables still hold together: no damage to refuse, but not the file that was exported.
READABLE = ("an image of no size", "an unknown backend", "an XNNPACK graph without end")


def written(place: Place, program: Path, command: str, content: bytes) -> tuple[object, ...]:
    """Returns a command on a file, with the good one where commands under attack may look at it."""
    good = place.write("good.pte", program.read_bytes())
    return COMMANDS[command](place.write("a.pte", content), good)


def test_the_good_file_passes(attack: Attacks, program: Path) -> None:
    def make(place: Place, command: str) -> tuple[object, ...]:
        return written(place, program, command, program.read_bytes())

    assert {done.code for done in attack(["inspect", "verify"], make).values()} == {0}


def edited(program: Path) -> Callable[[Place, tuple[str, str]], tuple[object, ...]]:
    def make(place: Place, case: tuple[str, str]) -> tuple[object, ...]:
        changed = EDITS[case[0]](program.read_bytes())
        assert changed != program.read_bytes()
        return written(place, program, case[1], changed)

    return make


def test_edits(refuse: Attacks, program: Path) -> None:
    found = refuse([(case, "verify") for case in EDITS if case not in READABLE], edited(program))
    assert {done.code for done in found.values()} == {1}


def test_edits_that_leave_a_file(attack: Attacks, program: Path) -> None:
    """What can be read is told by the digest of its graph, before the runtime is given any of it."""
    found = attack([(case, "verify") for case in READABLE], edited(program))
    assert {done.code for done in found.values()} == {3}
    assert all("its graph differs from what was exported" in done.errors for done in found.values())


@pytest.mark.parametrize("command", ["compare", "inspect", "latency"])
def test_edits_for_all(refuse: Attacks, program: Path, command: str) -> None:
    cases = ("a program without end", "an image of 2 GB", "zeros behind the header")
    found = refuse([(case, command) for case in cases], edited(program))
    assert {done.code for done in found.values()} == {1}


def test_what_the_runtime_refuses(refuse: Attacks, program: Path) -> None:
    reasons = {"compare": "Backend PlantedBackend is not registered", "latency": "Failed to load method"}
    changed = EDITS["an unknown backend"](program.read_bytes())
    found = refuse(reasons, lambda place, command: written(place, program, command, changed))
    assert all(reasons[command] in done.errors for command, done in found.items())


@MANY
def test_truncated(refuse: Attacks, program: Path, many: bool) -> None:
    cut = list(tenths(program.read_bytes()))
    found = refuse(
        rotated(range(10), [*COMMANDS], many), lambda place, case: written(place, program, case[1], cut[case[0]])
    )
    assert {done.code for done in found.values()} == {1}


@MANY
def test_what_is_no_file(refuse: Attacks, program: Path, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> tuple[object, ...]:
        PLACES[case[0]](place.given / "a.pte")
        return COMMANDS[case[1]](place.given / "a.pte", place.write("good.pte", program.read_bytes()))

    refuse(rotated(PLACES, [*COMMANDS], many), make)


@MANY
@pytest.mark.parametrize("part", ["program", "segments"])
def test_flipped_bytes(attack: Attacks, program: Path, part: str, many: bool) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless; the runtime's own end is no end of mvd's."""
    content = program.read_bytes()
    base = int.from_bytes(content[24:32], "little")
    head, tail = content[:base], content[base:]
    made = flipped(head if part == "program" else tail[:4096], 10, many)

    def make(place: Place, case: tuple[int, str]) -> tuple[object, ...]:
        changed = made[case[0]] + tail if part == "program" else head + made[case[0]] + tail[4096:]
        return COMMANDS[case[1]](place.write("a.pte", changed), program)

    attack([(number, command) for number in range(len(made)) for command in ("inspect", "verify")], make)
