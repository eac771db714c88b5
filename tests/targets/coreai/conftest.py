"""Core AI's worker in forks of one process, so that each starts at once."""

from collections.abc import Iterator

import pytest

from mobilevit_deploy.targets.coreai import child as coreai_child
from tests.support.warm_worker import warm

COLD = coreai_child.WORKER  # what a user's is


@pytest.fixture(scope="package", autouse=True)
def warm_worker() -> Iterator[None]:
    with warm("coreai") as command, pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreai_child, "WORKER", command)
        yield


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts the worker's own program, as for a user."""
    monkeypatch.setattr(coreai_child, "WORKER", COLD)
