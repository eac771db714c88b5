"""Forks of a process that has exported once already, so that a run takes a second and not ten."""

from collections.abc import Iterator

import pytest

from tests.export.faults.exports import NET, Checkpoints, make_checkpoints
from tests.support.forks import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks(["export", NET, "--input-size", "8", "--to", "onnx", "--to", "coreml"]) as forks:
        yield forks


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return make_checkpoints(tmp_path_factory.mktemp("checkpoints"))
