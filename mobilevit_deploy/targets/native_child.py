"""A process for a target's native code, which ends its process on what it does not know, and logs as it likes.

Requests and answers are JSON, a line each, and ``system/request_loop.py`` answers them; arrays and artifacts are files
in a folder that lives as long as the process.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.system.child_process import ask_line


class ChildError(Exception):
    """What the child said when it refused a request.

    Attributes:
        died: whether the process is gone, by a crash or because it was stopped.
        late: whether it was stopped, for it took too long.
        stage: what it was doing last, such as the node of the program that it converted; empty where it does not tell.
    """

    def __init__(self, message: str, *, died: bool = False, late: bool = False, stage: str = "") -> None:
        super().__init__(message)
        self.died, self.late, self.stage = died, late, stage


class NativeChild:
    """A process with a target's packages in it; ends with this object, or with the process that made it.

    Attributes:
        folder: for files, see above.
        limit_s: of one request, in seconds.
    """

    def __init__(
        self, worker: Sequence[str], name: str, limit_s: float, more: Mapping[str, str | None] | None = None
    ) -> None:
        """Starts the process; it imports while the caller goes on.

        Args:
            worker: the command.
            name: of the target, for the folder.
            limit_s: of one request.
            more: of the environment; None takes a variable out of it.
        """
        self.folder = Path(tempfile.mkdtemp(prefix=f"mvd-{name}-"))
        self.limit_s, self._log = limit_s, self.folder / "log.txt"
        pipe = subprocess.PIPE
        with self._log.open("wb") as log:
            # What native code unpacks goes where it is removed, even if the process is killed.
            given = {**os.environ, "TMPDIR": str(self.folder), "PYTHONWARNINGS": "ignore", **(more or {})}
            environment = {name: value for name, value in given.items() if value is not None}
            self._process = subprocess.Popen(worker, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment)
        self._end = weakref.finalize(self, _end, self._process, self.folder)

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Sends a request and returns the answer; raises ChildError."""
        line, late = ask_line(self._process, {"command": command, **request}, self.limit_s)
        if not line:
            reason = f"did not finish in {self.limit_s} s" if late else self._how_it_ended()
            raise ChildError(reason, died=True, late=late, stage=self.stage())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(str(answer["error"]), stage=self.stage())
        return answer

    def store(self, array: Array, name: str = "input") -> str:
        """Writes an array where the child reads it, and returns the path."""
        path = self.folder / f"{name}.npy"
        np.save(path, array)
        return str(path)

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self._end()

    def stage(self) -> str:
        """Returns what it was doing last, see ``ChildError``."""
        return ""

    def last_words(self, log: Sequence[str]) -> str:
        """Returns what the lines of its log tell of its end; empty for nothing."""
        raise NotImplementedError

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        words = self.last_words(self._log.read_text(encoding="utf-8", errors="replace").splitlines())
        ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return f"{words or 'ended without a word'} ({ended})"


def _end(process: "subprocess.Popen[str]", folder: Path) -> None:
    process.kill()
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)
