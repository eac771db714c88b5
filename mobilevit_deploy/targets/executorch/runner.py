"""ExecuTorch's own runtime on the CPU, in a process of its own: a broken file ends the process that loads it."""

import io
import json
import re
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from mobilevit_deploy.errors import ArtifactError, RefusedError
from mobilevit_deploy.runners.base import Array, Observed, Opener, Reading
from mobilevit_deploy.system.child_process import CHILD, deadline
from mobilevit_deploy.targets.executorch.convert import describe
from mobilevit_deploy.targets.executorch.exact import SUFFIX as GRAPH
from mobilevit_deploy.targets.executorch.exact import GraphRunner
from mobilevit_deploy.targets.executorch.run_worker import read_frame, write_frame

WORKER = "mobilevit_deploy.targets.executorch.run_worker"
LOAD_S = 120
LONGEST_RUN_S = 300
ENDING_S = 5
# What the runtime logs before it gives up, such as "[method.cpp:77] Missing operator: [0] aten::sort.values".
LOGGED = re.compile(r"^\[\w+\.(?:cpp|h):\d+\] ")
MACHINE = re.compile(r"cpuinfo|threadpool")  # lines about the machine


class ExecuTorchRunner:
    """A ``.pte`` file in ExecuTorch's runtime."""

    name = "executorch"

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            ArtifactError: it is damaged, or the runtime refuses it or ends with it.
        """
        self._outputs = [output.shape for output in describe(path).outputs]  # read before anything native sees it
        self.settings: Mapping[str, str] = {}
        self._path = path
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by the finalizer
        pipe = subprocess.PIPE
        process = subprocess.Popen([*CHILD, WORKER], stdin=pipe, stdout=pipe, stderr=self._errors)
        self._process = process
        self._end = weakref.finalize(self, _end, process, self._errors)
        self._ask(json.dumps({"path": str(path.resolve())}).encode(), LOAD_S)

    def run(self, batch: Array) -> Sequence[Array]:
        """Returns the outputs; raises ArtifactError when the file cannot be run, or does not come to an end."""
        content = io.BytesIO()
        np.save(content, batch)
        answer = self._ask(content.getvalue(), LONGEST_RUN_S)
        with np.load(io.BytesIO(answer), allow_pickle=False) as found:
            outputs: list[Array] = [found[f"arr_{i}"] for i in range(len(found.files))]
        if [output.shape for output in outputs] != self._outputs:
            raise ArtifactError(f"{self._path.name} returns other shapes than it says", "export or copy it again")
        return outputs

    def _ask(self, content: bytes, limit_s: float) -> bytes:
        """Sends a frame and waits for the answer; ends the process when it takes too long."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        answer = None
        with deadline(limit_s, self._process.kill) as late, suppress(BrokenPipeError):
            write_frame(stdin, content)  # type: ignore[arg-type]
            answer = read_frame(stdout)  # type: ignore[arg-type]
        if answer is None:
            raise self._failure(limit_s if late.is_set() else None)
        return answer

    def _failure(self, limit_s: float | None) -> ArtifactError:
        try:
            code = self._process.wait(ENDING_S)  # it has closed its answers, and is on its way out
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if limit_s is not None:
            return ArtifactError(f"ExecuTorch stopped running {self._path.name}", f"a run may take {limit_s:.0f} s")
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        return RefusedError(
            f"ExecuTorch does not run {self._path.name}: {reason(said, code)}",
            "a file from elsewhere may be damaged, or need kernels that the Python package of ExecuTorch lacks",
        )


def open_all(path: Path, function: str | None = None) -> Sequence[Opener]:
    """Returns what opens a file in ExecuTorch's runtime."""
    return [partial(ExecuTorchRunner, path)]


def open_unrounded(path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener | None:
    """Returns what opens the graph that an int8 file was lowered from, or the float32 one with its weights rounded.

    None for a file: XNNPACK computes it as it stands.
    """
    if path.suffix == GRAPH:
        return partial(GraphRunner, path)
    return partial(GraphRunner, path.with_suffix(GRAPH), like) if like and like.suffix == GRAPH else None


def observe(path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None) -> list[Observed]:
    """Raises ArtifactError: what XNNPACK computes on the way to its results, it does not show."""
    raise ArtifactError(
        f"{path.name} runs in XNNPACK, which shows no value on the way",
        "mvd export with --no-rewrite tells whether a rewrite is the cause; the same model as ONNX can be located",
    )


def takes_batch(path: Path, batch: int) -> bool:
    """Tells whether a batch can be run; raises ArtifactError for a damaged file."""
    return describe(path).entries[0].shape[0] == batch


def reason(said: str, code: int) -> str:
    """Returns what the runtime said last that tells something, or how its process ended."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not MACHINE.search(line)]
    telling = [line for line in lines if LOGGED.match(line)][:1] or lines[-1:]
    ending = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    return f"{telling[0][:300]} ({ending})" if telling else ending


def _end(process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
    """Ends a process and closes its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, errors):
        try:
            if stream:
                stream.close()
        except BrokenPipeError:
            pass  # what was still to be written is for a process that has ended
