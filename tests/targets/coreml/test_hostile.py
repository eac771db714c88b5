"""Hostile and broken Core ML packages, given to every command that takes one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.attacks import MANY, NET, Place, attack, flip, half, tenths
from tests.support.forks import Forks
from tests.support.hostile import Refuse
from tests.targets.coreml.hostile_cases import CASES, MANIFEST, MODEL, WEIGHTS, Edit

CLAIMS = ("own code", "a recipe of its own", "malformed claims")  # which are asked for only without --model
COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "verify": lambda path, _: ("verify", path, "--model", NET),
    "compare": lambda path, good: ("compare", good, path, "--seconds", 0.1, "--threads", 1),
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
    edit(path)
    return path


def test_the_good_package_passes(forks: Forks, place: Place, good: Path) -> None:
    path = edited(place, good, lambda _: None)
    assert attack(forks, place, COMMANDS["verify"](path, good)).code == 0
    assert attack(forks, place, ("inspect", path)).code == 0


@pytest.mark.parametrize("case", CASES)
def test_verify(refuse: Refuse, place: Place, good: Path, case: str) -> None:
    path = edited(place, good, CASES[case])
    refuse(*(("verify", path) if case in CLAIMS else COMMANDS["verify"](path, good)))


@pytest.mark.parametrize("case", half(case for case in CASES if case not in CLAIMS))
def test_compare(refuse: Refuse, place: Place, good: Path, case: str) -> None:
    """The two are compared by their outputs: a package that cannot be opened is refused before that."""
    path = edited(place, good, CASES[case])
    refuse(*COMMANDS["compare"](path, good))


@pytest.mark.parametrize("case", half(CASES))
def test_inspect(forks: Forks, place: Place, good: Path, case: str) -> None:
    """What runs nothing may show what it finds; it reads no file outside the package, and no weights."""
    attack(forks, place, ("inspect", edited(place, good, CASES[case])))


@pytest.mark.parametrize("command", ["profile", "latency"])
@pytest.mark.parametrize("case", ["a cycle", "a model that is a pipe", "a model above the package"])
def test_commands_that_take_none(refuse: Refuse, place: Place, good: Path, case: str, command: str) -> None:
    refuse(*COMMANDS[command](edited(place, good, CASES[case]), good))


@pytest.mark.parametrize("tenth", half(range(10)))
@pytest.mark.parametrize("name", [MANIFEST, MODEL, WEIGHTS])
def test_truncated(refuse: Refuse, place: Place, good: Path, name: str, tenth: int) -> None:
    cut = list(tenths((good / name).read_bytes()))[tenth]
    refuse(*COMMANDS["verify"](edited(place, good, lambda path: (path / name).write_bytes(cut)), good))


@MANY
@pytest.mark.parametrize("name", [MANIFEST, MODEL, WEIGHTS])
def test_flipped_bytes(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, exported: Path, name: str, many: bool
) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless."""
    (good,) = exported.glob("*.mlpackage")

    def check(changed: bytes) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        path = edited(place, good, lambda path: (path / name).write_bytes(changed))
        attack(forks, place, COMMANDS["verify"](path, good))

    flip((good / name).read_bytes(), 40, many, check)
