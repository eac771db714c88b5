"""Where faulty runs happen, and the count of those after which everything was in order."""

from collections.abc import Callable
from pathlib import Path

import pytest

Survived = Callable[[str], None]


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
