"""The forks that hostile inputs are tried on, and the count of those that were refused."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.attacks import NET, Attack, Place, attack_all, check_all, check_refused, digest, prepared
from tests.support.forks import Done, Forks

WARM_UP = ["export", NET, "--input-size", "8", "--to", "onnx", "--to", "coreml"]
Make = Callable[[Place, Any], Sequence[object]]  # writes the input of a case, and returns the arguments for it
# Runs the program on cases, each in a place of its own, and returns what became of them: (cases, make, prepare).
Attacks = Callable[..., dict[Any, Done]]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a run of the tests have."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def forks(shared: Path) -> Iterator[Forks]:
    """Forks of a process that has exported once already, so that a run takes a tenth of a second and not ten."""
    with Forks(shared / "forks", shared / "exported", WARM_UP) as forks:
        yield forks


@pytest.fixture(scope="session")
def exported(forks: Forks, shared: Path) -> Path:  # noqa: ARG001 - whose process has exported it
    """A folder with the tiny network as ONNX file and as package, with their reports."""
    return shared / "exported" / "artifacts"


@pytest.fixture
def attack(forks: Forks, tmp_path: Path) -> Attacks:
    """Runs the program on inputs, and checks that it did nothing but read."""

    def run(cases: Iterable[Any], make: Make, prepare: str = "") -> dict[Any, Done]:
        made = _make(tmp_path, cases, make)
        return _by_case(made, attack_all(forks, made, _log(tmp_path), prepare))

    return run


@pytest.fixture
def refuse(forks: Forks, tmp_path: Path, record_property: Callable[[str, object], None]) -> Attacks:
    """The same for inputs that must be refused, each of which is counted."""

    def run(cases: Iterable[Any], make: Make, prepare: str = "") -> dict[Any, Done]:
        made = _make(tmp_path, cases, make)
        found = attack_all(forks, made, _log(tmp_path), prepare)
        check_all(check_refused, made, found)
        for item in made:
            record_property("hostile", digest(item.place))
        return _by_case(made, found)

    return run


def _make(folder: Path, cases: Iterable[Any], make: Make) -> list[Attack]:
    return [prepared(Path(tempfile.mkdtemp(dir=folder)), case, make) for case in cases]


def _log(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="log-", dir=folder))


def _by_case(made: Sequence[Attack], found: Sequence[Done]) -> dict[Any, Done]:
    return {item.case: done for item, done in zip(made, found, strict=True)}
