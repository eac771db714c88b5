"""Hostile and broken ExecuTorch programs, given to every command that takes one."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loading.hostile_cases import PLACES
from tests.research.additive_net import __file__ as SOURCE
from tests.support.attacks import MANY, Place, attack, flip, rotated, tenths
from tests.support.forks import Forks
from tests.support.hostile import Refuse

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


@pytest.fixture
def beside(place: Place, program: Path) -> Path:
    """The good file where commands under attack may look at it."""
    return place.write("good.pte", program.read_bytes())


def test_the_good_file_passes(forks: Forks, place: Place, beside: Path) -> None:
    for command in ("inspect", "verify"):
        assert attack(forks, place, COMMANDS[command](beside, beside)).code == 0


@pytest.mark.parametrize("case", EDITS)
def test_edits(refuse: Refuse, place: Place, program: Path, case: str) -> None:
    changed = EDITS[case](program.read_bytes())
    assert changed != program.read_bytes()
    done = refuse(*COMMANDS["verify"](place.write("a.pte", changed), program))
    assert done.code == 1


@pytest.mark.parametrize("command", ["compare", "inspect", "latency"])
@pytest.mark.parametrize("case", ["a program without end", "an image of 2 GB", "zeros behind the header"])
def test_edits_for_all(refuse: Refuse, place: Place, beside: Path, case: str, command: str) -> None:
    path = place.write("a.pte", EDITS[case](beside.read_bytes()))
    assert refuse(*COMMANDS[command](path, beside)).code == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [("compare", "Backend PlantedBackend is not registered"), ("latency", "Failed to load method")],
)
def test_what_the_runtime_refuses(refuse: Refuse, place: Place, beside: Path, command: str, reason: str) -> None:
    path = place.write("a.pte", EDITS["an unknown backend"](beside.read_bytes()))
    assert reason in refuse(*COMMANDS[command](path, beside)).errors


@pytest.mark.parametrize(("tenth", "command"), rotated(range(10), [*COMMANDS]))
def test_truncated(refuse: Refuse, place: Place, beside: Path, tenth: int, command: str) -> None:
    path = place.write("a.pte", list(tenths(beside.read_bytes()))[tenth])
    assert refuse(*COMMANDS[command](path, beside)).code == 1


@pytest.mark.parametrize(("case", "command"), rotated(PLACES, [*COMMANDS]))
def test_what_is_no_file(refuse: Refuse, place: Place, beside: Path, case: str, command: str) -> None:
    PLACES[case](place.given / "a.pte")
    refuse(*COMMANDS[command](place.given / "a.pte", beside))


@MANY
@pytest.mark.parametrize("part", ["program", "segments"])
def test_flipped_bytes(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, program: Path, part: str, many: bool
) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless; the runtime's own end is no end of mvd's."""
    content = program.read_bytes()
    base = int.from_bytes(content[24:32], "little")
    head, tail = content[:base], content[base:]

    def check(changed: bytes) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        path = place.write("a.pte", changed + tail if part == "program" else head + changed + tail[4096:])
        attack(forks, place, COMMANDS["inspect"](path, program))
        attack(forks, place, COMMANDS["verify"](path, program))

    flip(head if part == "program" else tail[:4096], 10, many, check)
