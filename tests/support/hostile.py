"""The forks that hostile inputs are tried on, and the count of those that were refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.attacks import NET, Place, digest, refused
from tests.support.forks import Done, Forks

Refuse = Callable[..., Done]


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Forks of a process that has exported once already, so that a run takes a second and not ten."""
    with Forks(["export", NET, "--input-size", "8", "--to", "onnx", "--to", "coreml"]) as forks:
        yield forks


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "place"
    root.mkdir()
    return Place(root)


@pytest.fixture
def refuse(forks: Forks, place: Place, record_property: Callable[[str, object], None]) -> Refuse:
    """Runs a command that must be refused, and counts its input."""

    def run(*arguments: object, prepare: str = "") -> Done:
        done = refused(forks, place, arguments, prepare)
        record_property("hostile", digest(place))
        return done

    return run


@pytest.fixture(scope="session")
def exported(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny network as ONNX file and as package, with their reports."""
    folder, log = tmp_path_factory.mktemp("exported"), tmp_path_factory.mktemp("log")
    done = forks.run(["export", NET, "--to", "onnx", "--to", "coreml", "--input-size", "8"], folder, log)
    assert done.code == 0, done.errors
    return folder / "artifacts"
