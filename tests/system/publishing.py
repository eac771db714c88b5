"""Kills a publication at every line that it runs, one after the other: a program, for it forks without threads.

    python -m tests.system.publishing FOLDER swap|rename

prints how often it was killed. After each time every final name holds its old or its new content, and the next run in
the folder makes them all new, or leaves them all old. ``rename`` is a file system that cannot swap two names: there a
folder may be missing until the next run.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from mobilevit_deploy.system import atomic_replace, owned_folders, publish

NAMES = ("a.onnx", "a.onnx.json", "b.mlpackage", "b.coreml.json", "c.new")
TRACED = {module.__file__ for module in (owned_folders, atomic_replace, publish)}


def fill(folder: Path, text: str) -> None:
    """Writes what an export writes; the last name was not there before."""
    for name in NAMES[: None if text == "new" else -1]:
        path = folder / name
        if name.endswith(".mlpackage"):
            (path / "Data").mkdir(parents=True)
            (path / "Data" / "weights").write_text(text)
            path = path / "Manifest.json"
        path.write_text(text)


def contents(folder: Path) -> dict[str, set[str]]:
    """Returns the texts in each artifact; more than one is a mixture."""
    found = {}
    for name in NAMES:
        path = folder / name
        files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
        if files:
            found[name] = {item.read_text() for item in files}
        if path.is_dir():
            assert len(files) == 2, f"{name} is not whole"
    return found


def killed_at(line: int, folder: Path) -> bool:
    """Publishes in a fork that is killed at its so-manieth line; returns False when it has not so many."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal count
            if frame.f_code.co_filename not in TRACED:
                return None
            if event == "line":
                count += 1
                if count == line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        with publish.staging(folder) as work:
            fill(work, "new")
            sys.settrace(trace)
            publish.publish(work, folder)
            sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.waitstatus_to_exitcode(status) != 0


def main(root: Path, swap: bool) -> None:
    if not swap:
        mock.patch.object(publish, "exchange", return_value=False).start()
    line = 0
    while True:
        line += 1
        folder = root / "out"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        fill(folder, "old")
        killed = killed_at(line, folder)
        found = contents(folder)
        assert all(texts in ({"old"}, {"new"}) for texts in found.values()), f"line {line}: a mixture: {found}"
        missing = set(NAMES[:-1]) - set(found)
        assert not missing or (not swap and missing == {"b.mlpackage"}), f"line {line}: {missing} are gone"
        with publish.staging(folder):
            pass
        after = contents(folder)
        texts = {text for content in after.values() for text in content}
        assert len(texts) == 1, f"line {line}: some are old and some new: {after}"
        assert set(after) == set(NAMES if texts == {"new"} else NAMES[:-1])
        assert {path.name for path in folder.iterdir()} == set(after), "something was left"
        if not killed:
            assert texts == {"new"}
            break
    print(line - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "swap")
