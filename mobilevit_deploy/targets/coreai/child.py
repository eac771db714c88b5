"""The process that Apple's native code runs in: it aborts on graphs that it does not know, and takes its process along.

Requests and answers are JSON, a line each; arrays and assets are files in a folder that lives as long as the process.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.system.child_process import CHILD, ask_line

WORKER = (*CHILD, "mobilevit_deploy.targets.coreai.worker")
LONGEST_REQUEST_S = 600  # the largest LightViT converts in a tenth of it


class ChildError(Exception):
    """What the child said when it refused a request.

    Attributes:
        died: whether the process is gone, by an abort or because it was stopped.
        late: whether it was stopped, for it took too long.
        stage: what it was doing last, such as the node of the program that it converted.
    """

    def __init__(self, message: str, died: bool = False, stage: str = "", *, late: bool = False) -> None:
        super().__init__(message)
        self.died, self.late, self.stage = died, late, stage


class Child:
    """A process with Core AI in it; ends with this object, or with the process that made it."""

    def __init__(self) -> None:
        """Starts the process; it imports while the caller goes on."""
        self.folder = Path(tempfile.mkdtemp(prefix="mvd-coreai-"))
        self._log = self.folder / "log.txt"
        pipe = subprocess.PIPE
        with self._log.open("wb") as log:
            # What Apple's runtime unpacks goes where it is removed, even if the process is killed.
            environment = {**os.environ, "TMPDIR": str(self.folder), "PYTHONWARNINGS": "ignore"}
            self._process = subprocess.Popen(WORKER, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment)
        self._end = weakref.finalize(self, _end, self._process, self.folder)

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Sends a request and returns the answer; raises ChildError."""
        line, late = ask_line(self._process, {"command": command, **request}, LONGEST_REQUEST_S)
        if not line:
            reason = f"did not finish in {LONGEST_REQUEST_S} s" if late else self._last_words()
            raise ChildError(reason, died=True, stage=self._stage(), late=late)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(str(answer["error"]), stage=self._stage())
        return answer

    def store(self, batch: Array) -> str:
        """Writes an array where the child reads it, and returns the path."""
        path = self.folder / "input.npy"
        np.save(path, batch)
        return str(path)

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self._end()

    def _stage(self) -> str:
        path = self.folder / "stage"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def _last_words(self) -> str:
        """Returns LLVM's own error where it left one, else how the process ended."""
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        places = [i for i, line in enumerate(lines) if "error" in line.lower()]
        words = " ".join(line.strip() for line in lines[places[-1] :][:2]) if places else "ended without a word"
        ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return f"{words} ({ended})"  # LLVM prints what is wrong, and behind it the operation


def _end(process: "subprocess.Popen[str]", folder: Path) -> None:
    process.kill()
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)
