"""Hostile and broken ONNX files, given to every command that takes one."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs

from tests.loading.hostile_cases import PLACES
from tests.support.attacks import MANY, NET, Place, flipped, rotated, tenths
from tests.support.damage.forget import forget
from tests.support.hostile import Attacks
from tests.targets.onnx.hostile_cases import CLAIMS, EXTERNAL, GRAPHS, SIZES, Edit, set_metadata

SECRET = bytes(range(256)) * 16
COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "verify": lambda path, _: ("verify", path, "--model", NET),
    "compare": lambda path, good: ("compare", path, good, "--seconds", 0.1, "--threads", 1),
    "inspect": lambda path, _: ("inspect", path),
    "profile": lambda path, _: ("profile", path, "--seconds", 0.1, "--threads", 1),
    "latency": lambda path, _: ("latency", path, "--seconds", 0.1, "--threads", 1, "--pin", "none"),
}
GRAPHS_FOR_ALL = ["a cycle", "an unknown operation", "a node that reads nothing", "no nodes", "a loop without end"]
RUNNING = ("verify", "compare")  # in this process, where a crash is the program's


@pytest.fixture
def good(exported: Path) -> Path:
    (path,) = exported.glob("*.onnx")
    return path


def edited(place: Place, good: Path, edit: Edit) -> Path:
    """Writes an edited copy of a good file, with a secret outside its folder."""
    (place.root / "secret").write_bytes(SECRET)
    model = onnx.load(good)
    forget(model)  # who means harm leaves the digests out
    edit(model, place.given)
    return place.write("a.onnx", model.SerializeToString())


def test_the_good_file_passes(attack: Attacks, good: Path) -> None:
    def make(place: Place, command: str) -> tuple[object, ...]:
        return COMMANDS[command](edited(place, good, lambda _model, _folder: None), good)

    assert {done.code for done in attack(["verify", "inspect"], make).values()} == {0}


@MANY
def test_weights_elsewhere(refuse: Attacks, good: Path, many: bool) -> None:
    """Nothing outside the file's folder is opened, and nothing in it that is no file."""

    def make(place: Place, case: tuple[str, str]) -> tuple[object, ...]:
        return COMMANDS[case[1]](edited(place, good, EXTERNAL[case[0]]), good)

    found = refuse(rotated(EXTERNAL, [*COMMANDS], many), make)
    assert all("stands in" in done.errors or "as a place in a file" in done.errors for done in found.values())


@MANY
def test_sizes(refuse: Attacks, good: Path, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> tuple[object, ...]:
        return COMMANDS[case[1]](edited(place, good, SIZES[case[0]]), good)

    refuse(rotated(SIZES, RUNNING, many), make)


def test_graphs(refuse: Attacks, good: Path) -> None:
    refuse(GRAPHS, lambda place, case: COMMANDS["verify"](edited(place, good, GRAPHS[case]), good))


@MANY
def test_graphs_in_processes_of_their_own(refuse: Attacks, good: Path, many: bool) -> None:
    cases = [
        (case, command)
        for i, case in enumerate(GRAPHS_FOR_ALL)
        for command in ("compare", "profile", "latency")
        if (command == "latency" or i == 0) != many
    ]
    refuse(cases, lambda place, case: COMMANDS[case[1]](edited(place, good, GRAPHS[case[0]]), good))


def test_what_a_file_says_of_its_export(refuse: Attacks, good: Path) -> None:
    """No code that it names is imported, and no file outside the folders where a user would look is read."""
    loose = Path("export_recipes/onnx.toml").read_text().replace("1e-5", "1e9")

    def make(place: Place, case: str) -> tuple[object, ...]:
        (place.here / "loose.toml").write_text(loose)
        return ("verify", edited(place, good, CLAIMS[case]))

    refuse(CLAIMS, make)


def is_whole(content: bytes) -> bool:
    try:
        onnx.load_model_from_string(content)
    except DecodeError:
        return False
    return bool(content)


@MANY
def test_truncated(refuse: Attacks, good: Path, many: bool) -> None:
    def make(place: Place, case: tuple[int, str]) -> tuple[object, ...]:
        cut = list(tenths(good.read_bytes()))[case[0]]
        # Between two entries of the metadata, behind the graph, the rest is a whole model: one byte less is not.
        return COMMANDS[case[1]](place.write("a.onnx", cut[:-1] if is_whole(cut) else cut), good)

    refuse(rotated(range(10), [*COMMANDS], many), make)


@MANY
def test_what_is_no_file(refuse: Attacks, good: Path, many: bool) -> None:
    def make(place: Place, case: tuple[str, str]) -> tuple[object, ...]:
        PLACES[case[0]](place.given / "a.onnx")
        return COMMANDS[case[1]](place.given / "a.onnx", good)

    refuse(rotated(PLACES, [*COMMANDS], many), make)


def test_a_report_beside_it_that_is_no_file(refuse: Attacks, good: Path) -> None:
    """The report is asked for the checkpoint's path, and must not be waited for."""
    trained = set_metadata(model="cas_vit_xs", own_code="false", trained="true", weights="w", weights_sha256="0" * 64)

    def make(place: Place, case: str) -> tuple[object, ...]:
        path = edited(place, good, trained)
        PLACES[case](place.given / "a.onnx.json")
        return ("verify", path)

    assert all("which is not where it was" in done.errors for done in refuse(PLACES, make).values())


@MANY
def test_flipped_bytes(attack: Attacks, good: Path, many: bool) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless: a name, or the last digit of a weight."""
    made = flipped(good.read_bytes(), 40, many)
    cases = [(number, command) for number in range(len(made)) for command in ("verify", "inspect")]
    attack(cases, lambda place, case: COMMANDS[case[1]](place.write("a.onnx", made[case[0]]), good))
