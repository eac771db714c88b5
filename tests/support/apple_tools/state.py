"""The stand-in's folder: what goes wrong, the log of calls, and small counters."""

import json
import os
from pathlib import Path
from typing import Any


class State:
    """The folder that all of the stand-in's processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        modes = folder / "modes"
        self._modes = set(modes.read_text().split()) if modes.exists() else set()

    def has(self, mode: str) -> bool:
        return mode in self._modes

    def log(self, call: list[str]) -> None:
        """Appends a call; one write of one line, so that processes do not mix theirs."""
        line = json.dumps(call).encode() + b"\n"
        file = os.open(self.folder / "calls.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line)
        os.close(file)

    def read(self, name: str, default: Any) -> Any:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else default

    def write(self, name: str, value: Any) -> None:
        path = self.folder / f"{name}.json"
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(value))
        beside.rename(path)

    def count(self, name: str) -> int:
        """Returns how often this was called with a name, this time included."""
        count = int(self.read(name, 0)) + 1
        self.write(name, count)
        return count
