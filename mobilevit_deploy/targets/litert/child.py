"""The process that LiteRT's native code runs in: it logs as it likes, and ends its process on a broken file.

Requests and answers are JSON, a line each; arrays and files are in a folder that lives as long as the process.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.system.child_process import CHILD, ask_line

WORKER = (*CHILD, "mobilevit_deploy.targets.litert.worker")
LONGEST_REQUEST_S = 1200  # lightvit_base converts in a tenth of it
# What LiteRT and its libraries log about themselves, such as "I0000 00:00:1795882901.425237 4683 export.cc:4410] ...".
LOGGED = re.compile(r"^(WARNING: All log messages|[IW]\d{4} [\d:.]+|INFO: |WARNING: |\(\d\d:\d\d\) )")


class ChildError(Exception):
    """What the child said when it refused a request.

    Attributes:
        died: whether the process is gone, by a crash or because it was stopped.
        late: whether it was stopped, for it took too long.
    """

    def __init__(self, message: str, *, died: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.died, self.late = died, late


class Child:
    """A process with LiteRT in it; ends with this object, or with the process that made it."""

    def __init__(self) -> None:
        """Starts the process; it imports while the caller goes on."""
        self.folder = Path(tempfile.mkdtemp(prefix="mvd-litert-"))
        self._log = self.folder / "log.txt"
        pipe = subprocess.PIPE
        with self._log.open("wb") as log:
            environment = {**os.environ, "TMPDIR": str(self.folder), "PYTHONWARNINGS": "ignore", "COLUMNS": "200"}
            self._process = subprocess.Popen(WORKER, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment)
        self._end = weakref.finalize(self, _end, self._process, self.folder)

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Sends a request and returns the answer; raises ChildError."""
        line, late = ask_line(self._process, {"command": command, **request}, LONGEST_REQUEST_S)
        if not line:
            reason = f"it did not finish in {LONGEST_REQUEST_S} s" if late else self._last_words()
            raise ChildError(reason, died=True, late=late)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(str(answer["error"]))
        return answer

    def store(self, array: Array, name: str = "input") -> str:
        """Writes an array where the child reads it, and returns the path."""
        path = self.folder / f"{name}.npy"
        np.save(path, array)
        return str(path)

    def load(self, names: Sequence[str]) -> list[Array]:
        """Returns arrays that the child wrote."""
        return [np.load(name, allow_pickle=False) for name in names]

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self._end()

    def _last_words(self) -> str:
        """Returns what the process logged last that tells something, and how it ended."""
        code = self._process.wait()
        lines = [line.strip() for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines()]
        telling = [line for line in lines if line and not LOGGED.match(line)][-1:]
        ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return " ".join([*(line[:300] for line in telling), f"({ended})"]) if telling else f"it ended ({ended})"


def _end(process: "subprocess.Popen[str]", folder: Path) -> None:
    process.kill()
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)
