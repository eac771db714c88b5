"""Core AI's worker in forks of one process, so that each starts at once."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobilevit_deploy.targets.coreai import child as coreai_child

ROOT = Path(__file__).parents[3]
COLD = coreai_child.WORKER  # what a user's is


@pytest.fixture(scope="package", autouse=True)
def warm() -> Iterator[None]:
    """Puts the client of a warm worker in the place of the worker's own program."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        address = f"{folder}/socket"
        command = [sys.executable, "-m", "tests.support.warm_worker", address]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"}
        ) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            client = str(ROOT / "tests" / "support" / "warm_client.py")
            patch.setattr(coreai_child, "WORKER", (sys.executable, "-ISs", client, address))
            yield
            server.kill()


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts the worker's own program, as for a user."""
    monkeypatch.setattr(coreai_child, "WORKER", COLD)
