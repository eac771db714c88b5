"""Hostile and broken Core ML packages, given to every command that takes one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.attacks import MANY, NET, Place, flipped, half, tenths
from tests.support.hostile import Attacks
from tests.targets.coreml.hostile_cases import CASES, MANIFEST, MODEL, WEIGHTS, Edit
from tests.targets.coreml.mil.conftest import edit_model

CLAIMS = ("own code", "a recipe of its own", "malformed claims")  # which are asked for only without --model
COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "verify": lambda path, _: ("verify", path, "--model", NET),
    "compare": lambda path, good: ("compare", good, path, "--seconds", 0.1, "--threads", 1),
    "inspect": lambda path, _: ("inspect", path),
    "profile": lambda path, _: ("profile", path, "--seconds", 0.1, "--threads", 1),
    "latency": lambda path, _: ("latency", path, "--seconds", 0.1, "--threads", 1, "--pin", "none"),
}


@pytest.fixture
def good(exported: Path) -> Path:
    (path,) = exported.glob("*.mlpackage")
    return path


def edited(place: Place, good: Path, edit: Edit) -> Path:
    """Makes an edited copy of a good package, with a secret outside it."""
    (place.root / "secret").write_bytes(good.joinpath(MODEL).read_bytes())
    path = place.given / "a.mlpackage"
    shutil.copytree(good, path)
    edit_model(path, lambda _model: None)  # who means harm leaves the digests out
    edit(path)
    return path


def test_the_good_package_passes(attack: Attacks, good: Path) -> None:
    def make(place: Place, command: str) -> tuple[object, ...]:
        return COMMANDS[command](edited(place, good, lambda _: None), good)

    assert {done.code for done in attack(["verify", "inspect"], make).values()} == {0}


def test_verify(refuse: Attacks, good: Path) -> None:
    def make(place: Place, case: str) -> tuple[object, ...]:
        path = edited(place, good, CASES[case])
        return ("verify", path) if case in CLAIMS else COMMANDS["verify"](path, good)

    refuse(CASES, make)


@MANY
def test_compare(refuse: Attacks, good: Path, many: bool) -> None:
    """The two are compared by their outputs: a package that cannot be opened is refused before that."""
    cases = half((case for case in CASES if case not in CLAIMS), many)
    refuse(cases, lambda place, case: COMMANDS["compare"](edited(place, good, CASES[case]), good))


@MANY
def test_inspect(attack: Attacks, good: Path, many: bool) -> None:
    """What runs nothing may show what it finds; it reads no file outside the package, and no weights."""
    attack(half(CASES, many), lambda place, case: COMMANDS["inspect"](edited(place, good, CASES[case]), good))


def test_commands_that_take_none(refuse: Attacks, good: Path) -> None:
    cases = [
        (case, command)
        for case in ("a cycle", "a model that is a pipe", "a model above the package")
        for command in ("profile", "latency")
    ]
    refuse(cases, lambda place, case: COMMANDS[case[1]](edited(place, good, CASES[case[0]]), good))


@MANY
def test_truncated(refuse: Attacks, good: Path, many: bool) -> None:
    def make(place: Place, case: tuple[str, int]) -> tuple[object, ...]:
        name, tenth = case
        cut = list(tenths((good / name).read_bytes()))[tenth]
        return COMMANDS["verify"](edited(place, good, lambda path: (path / name).write_bytes(cut)), good)

    refuse([(name, tenth) for name in (MANIFEST, MODEL, WEIGHTS) for tenth in half(range(10), many)], make)


@MANY
@pytest.mark.parametrize("name", [MANIFEST, MODEL, WEIGHTS])
def test_flipped_bytes(attack: Attacks, good: Path, name: str, many: bool) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless."""
    made = flipped((good / name).read_bytes(), 40, many)

    def make(place: Place, number: int) -> tuple[object, ...]:
        path = edited(place, good, lambda path: (path / name).write_bytes(made[number]))
        return COMMANDS["verify"](path, good)

    attack(range(len(made)), make)
