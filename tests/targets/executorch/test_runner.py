"""ExecuTorch's runtime in a process of its own: what breaks it costs an error and not the program."""

import gc
import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.executorch import runner as runner
from mobilevit_deploy.targets.executorch.runner import ExecuTorchRunner, reason, takes_batch
from mobilevit_deploy.targets.registry import observe_values, runners_for, unrounded

BATCH = np.zeros((1, 3, 32, 32), np.float32)
WORKERS = {
    "signal SIGSEGV": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "signal SIGABRT": "import os; os.abort()",
    "exit 3": "raise SystemExit(3)",
    r"\[method.cpp:1\] Missing operator: \[0\] aten::sort.values_stable \(exit 1\)": (
        "import sys; sys.exit('[method.cpp:1] Missing operator: [0] aten::sort.values_stable\\nload failed')"
    ),
}


def children() -> list[psutil.Process]:
    return [item for item in psutil.Process().children() if "executorch.run_worker" in " ".join(item.cmdline())]


def test_it_computes_and_ends(program: Path) -> None:
    (opener,) = runners_for("executorch", program)
    opened = opener()  # type: ignore[operator]
    first, second = opened.run(BATCH)[0], opened.run(BATCH + 1)[0]
    assert first.shape == (1, 12)
    assert np.abs(first - second).max() > 0
    assert np.array_equal(first, opened.run(BATCH)[0])
    assert len(children()) == 1
    del opened
    gc.collect()
    assert children() == []


@pytest.mark.parametrize("message", WORKERS)
def test_a_process_that_dies_is_an_error(program: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    monkeypatch.setattr(runner, "CHILD", (sys.executable, "-c", WORKERS[message]))
    with pytest.raises(ArtifactError, match=f"ExecuTorch does not run .*{message}"):
        ExecuTorchRunner(program)
    assert psutil.Process(os.getpid()).is_running()


def test_a_process_that_hangs_is_an_error(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHILD", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(runner, "LOAD_S", 0.3)
    with pytest.raises(ArtifactError, match="ExecuTorch stopped running"):
        ExecuTorchRunner(program)


def test_what_a_delegate_is_not_given(program: Path, tmp_path: Path) -> None:
    """A kernel's or backend's name that the runtime does not know ends its process, with a message of its own."""
    path = tmp_path / "a.pte"
    path.write_bytes(program.read_bytes().replace(b"XnnpackBackend", b"XnnpackBackenD"))
    with pytest.raises(ArtifactError, match=r"ExecuTorch does not run a\.pte: .*XnnpackBackenD"):
        ExecuTorchRunner(path)


def test_there_is_nothing_to_look_at_inside(program: Path) -> None:
    with pytest.raises(ArtifactError, match="shows no value on the way"):
        observe_values("executorch", program, None, BATCH)
    assert unrounded("executorch", program) is None


def test_its_batch_is_fixed(program: Path) -> None:
    assert takes_batch(program, 1)
    assert not takes_batch(program, 2)


def test_the_line_that_tells_something() -> None:
    said = "[cpuinfo_utils.cpp:71] Failed to open midr file\n[a.cpp:2] Missing operator: [1] aten::x.out\nload failed\n"
    assert reason(said, 1) == "[a.cpp:2] Missing operator: [1] aten::x.out (exit 1)"
    assert reason("", -6) == "signal SIGABRT"
