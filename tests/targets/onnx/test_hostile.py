"""Hostile and broken ONNX files, given to every command that takes one."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs

from tests.loading.hostile_cases import PLACES
from tests.support.attacks import MANY, NET, Place, attack, flip, rotated, tenths
from tests.support.forks import Forks
from tests.support.hostile import Refuse
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
    edit(model, place.given)
    return place.write("a.onnx", model.SerializeToString())


def test_the_good_file_passes(forks: Forks, place: Place, good: Path) -> None:
    path = edited(place, good, lambda _model, _folder: None)
    for name in ("verify", "inspect"):
        assert attack(forks, place, COMMANDS[name](path, good)).code == 0


@pytest.mark.parametrize(("case", "command"), rotated(EXTERNAL, [*COMMANDS]))
def test_weights_elsewhere(refuse: Refuse, place: Place, good: Path, case: str, command: str) -> None:
    """Nothing outside the file's folder is opened, and nothing in it that is no file."""
    done = refuse(*COMMANDS[command](edited(place, good, EXTERNAL[case]), good))
    assert "stands in" in done.errors or "as a place in a file" in done.errors


@pytest.mark.parametrize(("case", "command"), rotated(SIZES, RUNNING))
def test_sizes(refuse: Refuse, place: Place, good: Path, case: str, command: str) -> None:
    refuse(*COMMANDS[command](edited(place, good, SIZES[case]), good))


@pytest.mark.parametrize("case", GRAPHS)
def test_graphs(refuse: Refuse, place: Place, good: Path, case: str) -> None:
    refuse(*COMMANDS["verify"](edited(place, good, GRAPHS[case]), good))


@pytest.mark.parametrize(
    ("case", "command"),
    [
        pytest.param(case, command, marks=() if command == "latency" or i == 0 else (pytest.mark.slow,))
        for i, case in enumerate(GRAPHS_FOR_ALL)
        for command in ("compare", "profile", "latency")
    ],
)
def test_graphs_in_processes_of_their_own(refuse: Refuse, place: Place, good: Path, case: str, command: str) -> None:
    refuse(*COMMANDS[command](edited(place, good, GRAPHS[case]), good))


@pytest.mark.parametrize("case", CLAIMS)
def test_what_a_file_says_of_its_export(refuse: Refuse, place: Place, good: Path, case: str) -> None:
    """No code that it names is imported, and no file outside the folders where a user would look is read."""
    path = edited(place, good, CLAIMS[case])
    (place.here / "loose.toml").write_text(Path("export_recipes/onnx.toml").read_text().replace("1e-5", "1e9"))
    refuse("verify", path)


def is_whole(content: bytes) -> bool:
    try:
        onnx.load_model_from_string(content)
    except DecodeError:
        return False
    return bool(content)


@pytest.mark.parametrize(("tenth", "command"), rotated(range(10), [*COMMANDS]))
def test_truncated(refuse: Refuse, place: Place, good: Path, tenth: int, command: str) -> None:
    cut = list(tenths(good.read_bytes()))[tenth]
    # Between two entries of the metadata, behind the graph, the rest is a whole model: one byte less is not.
    path = place.write("a.onnx", cut[:-1] if is_whole(cut) else cut)
    refuse(*COMMANDS[command](path, good))


@pytest.mark.parametrize(("case", "command"), rotated(PLACES, [*COMMANDS]))
def test_what_is_no_file(refuse: Refuse, place: Place, good: Path, case: str, command: str) -> None:
    PLACES[case](place.given / "a.onnx")
    refuse(*COMMANDS[command](place.given / "a.onnx", good))


@pytest.mark.parametrize("case", PLACES)
def test_a_report_beside_it_that_is_no_file(refuse: Refuse, place: Place, good: Path, case: str) -> None:
    """The report is asked for the checkpoint's path, and must not be waited for."""
    trained = set_metadata(model="cas_vit_xs", own_code="false", trained="true", weights="w", weights_sha256="0" * 64)
    path = edited(place, good, trained)
    PLACES[case](place.given / "a.onnx.json")
    assert "which is not where it was" in refuse("verify", path).errors


@MANY
def test_flipped_bytes(forks: Forks, tmp_path_factory: pytest.TempPathFactory, good: Path, many: bool) -> None:
    """A flipped byte is refused, or fails the comparison, or is harmless: a name, or the last digit of a weight."""

    def check(changed: bytes) -> None:
        place = Place(tmp_path_factory.mktemp("place"))
        path = place.write("a.onnx", changed)
        attack(forks, place, COMMANDS["verify"](path, good))
        attack(forks, place, COMMANDS["inspect"](path, good))

    flip(good.read_bytes(), 40, many, check)
