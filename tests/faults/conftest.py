"""Forks of a process that has exported once already, so that a run takes a second and not ten."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.exports import NET, Checkpoints, make_checkpoints
from tests.forks import Forks

Survived = Callable[[str], None]


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks(["export", NET, "--input-size", "8", "--to", "onnx", "--to", "coreml"]) as forks:
        yield forks


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return make_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder for what the runs say, with their temporary files."""
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The current folder of the runs."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def survived(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Survived:
    """Counts a fault after which everything was in order."""
    return lambda what: record_property("fault", f"{request.node.name} {what}")
