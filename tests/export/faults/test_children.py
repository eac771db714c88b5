"""Child processes that die or hang, and children whose parent is killed."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.export.faults.exports import ARTIFACTS, Checkpoints, export, orphans, recover
from tests.export.faults.stubs import CRASHES, HANGS, make
from tests.support.faults import Survived
from tests.support.forks import Forks

USE = "tests.export.faults.stubs:use"
STARTED_S, ENDED_S = 60.0, 30.0  # at most; on a busy machine a process may wait long for a core


def gone(log: Path) -> bool:
    """Tells whether all workers have ended, after waiting for them a little."""
    end = time.perf_counter() + ENDED_S
    while orphans(log) and time.perf_counter() < end:
        time.sleep(0.02)
    return not orphans(log)


@pytest.fixture
def artifact(earlier: Path, here: Path) -> Path:
    return Path(shutil.copytree(earlier, here / "artifacts")) / ARTIFACTS["onnx"]


@pytest.mark.parametrize("how", [*CRASHES, "hangs"])
def test_onnxsim(forks: Forks, checkpoints: Checkpoints, here: Path, log: Path, survived: Survived, how: str) -> None:
    """It costs the simplification, with a warning; the file is verified and published."""
    make(log / "stubs", "onnxsim", CRASHES.get(how, HANGS))
    done = forks.wait(forks.start(export(checkpoints.first, "onnx"), here, log, USE))
    assert done.code == 0, done.errors
    assert "not simplified" in done.errors + done.output
    recover(here / "artifacts")
    assert gone(log)
    survived("")


@pytest.mark.parametrize("command", ["latency", "profile"])
@pytest.mark.parametrize("how", [*CRASHES, "hangs"])
def test_measurements(
    forks: Forks, artifact: Path, here: Path, log: Path, survived: Survived, how: str, command: str
) -> None:
    """The run is refused, and nothing is written beside the artifact."""
    before = sorted(artifact.parent.iterdir())
    make(log / "stubs", "onnxruntime", CRASHES.get(how, HANGS))
    arguments = (command, artifact, "--threads", 1, "--seconds", 0.1)
    done = forks.wait(forks.start(arguments, here, log, USE))
    assert done.code == 1, done.errors
    assert artifact.name in done.errors
    assert sorted(artifact.parent.iterdir()) == before
    assert gone(log)
    survived("")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda item: item.name)
@pytest.mark.parametrize("command", ["export", "latency", "profile"])
def test_children_end_with_their_parent(
    forks: Forks,
    checkpoints: Checkpoints,
    artifact: Path,
    here: Path,
    log: Path,
    survived: Survived,
    command: str,
    sent: int,
) -> None:
    """A worker that hangs does not outlive the program, however that ends."""
    module = "onnxsim" if command == "export" else "onnxruntime"
    reached = make(log / "stubs", module, HANGS) / f"{module}.py.reached"
    arguments = {
        "export": export(checkpoints.second, "onnx"),
        "latency": ("latency", artifact, "--threads", 1, "--seconds", 0.1),
        "profile": ("profile", artifact, "--threads", 1, "--seconds", 0.1),
    }[command]
    run = forks.start(arguments, here, log, "tests.export.faults.stubs:use_patiently")
    end = time.perf_counter() + STARTED_S
    while not reached.exists() and time.perf_counter() < end:
        time.sleep(0.01)
    assert reached.exists(), "no worker came to what hangs"
    assert orphans(log), "no worker was started"
    os.kill(run.pid, sent)
    done = forks.wait(run)
    assert done.code == (-signal.SIGKILL if sent == signal.SIGKILL else 130), done.errors
    assert gone(log), orphans(log)
    recover(here / "artifacts")
    survived("")
