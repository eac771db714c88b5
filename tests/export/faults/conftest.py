"""What the tests of faults start from: two trainings of one network, and an export of the first."""

from pathlib import Path

import pytest

from tests.export.faults.exports import Checkpoints, export, make_checkpoints
from tests.support.forks import Forks


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return make_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def earlier(forks: Forks, checkpoints: Checkpoints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first training, exported to both targets; for copies."""
    here, log = tmp_path_factory.mktemp("earlier"), tmp_path_factory.mktemp("log")
    done = forks.run(export(checkpoints.first, "onnx", "coreml"), here, log)
    assert done.code == 0, done.errors
    return here / "artifacts"
