"""One attempt at a cell, on the machine that makes it: a child process, a time limit, and the files put in place.

Imports nothing heavy, for a cluster's workers import this: what is heavy is in the child.
"""

import json
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.sweep.store import LOG, Store
from mobilevit_deploy.system import side_by_side
from mobilevit_deploy.system.child_process import CHILD
from mobilevit_deploy.system.version import __version__
from mobilevit_deploy.targets.native_child import ChildError, NativeChild

WORKER: Sequence[str] = (*CHILD, "mobilevit_deploy.sweep.worker")
OUTCOME, FILES = "outcome.json", "files"  # what the worker writes into the folder that it is given
START_S = 600.0  # for a process to import what it needs and not part of a cell's time; seconds
LOG_BYTES = 2**20  # of a log that is kept; a converter that repeats itself wrote gigabytes
NAMED = ("artifact", "report", "page")  # files of a cell


@dataclass(frozen=True)
class Task:
    """A cell as it travels: plain values.

    Attributes:
        id: of the cell.
        digest: likewise.
        cell: what ``make_cell`` is given but for the folder.
        store: the URL that its files go to.
        needs: what a worker must have.
        time_limit: in seconds.
        worker: the command that makes cells.
        version: of this package, that a worker must have too.
    """

    id: str
    digest: str
    cell: Mapping[str, Any]
    store: str
    needs: Mapping[str, float]
    time_limit: float
    worker: Sequence[str] = WORKER
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        record: what ``report.matrix.record.Cell`` says beside the id and the matrix's entries.
        exists: whether the cell does, judged, with its files.
        again: whether another attempt may come to another result.
    """

    record: Mapping[str, Any]
    exists: bool
    again: bool = False


def failure(reason: str, hint: str = "", *, again: bool = True, **more: Any) -> Outcome:
    """Returns the outcome of a cell that could not be made."""
    return Outcome({"status": "failed", "reason": reason, "hint": hint, **more}, exists=False, again=again)


class Host(NativeChild):
    """A process that makes one cell after the other; a cell that dies leaves it as it is, one that hangs ends it.

    Where processes cannot be forked it makes one cell.
    """

    def __init__(self, worker: Sequence[str], more: Mapping[str, str | None] | None = None) -> None:
        super().__init__(worker, "sweep", START_S, more)
        self.worker = tuple(worker)
        self.stopped = False

    def make(self, folder: Path, cell: Mapping[str, Any], limit_s: float) -> int:
        """Makes a cell, see ``worker.Worker``; returns the exit code of its process.

        Raises:
            ChildError: it took longer than ``limit_s``, or this process ended.
        """
        self.limit_s = START_S
        self.ask("prepare", cell=dict(cell))
        self.limit_s = limit_s
        answer = self.ask("run", folder=str(folder), cell=dict(cell))
        if not side_by_side.CAN_FORK:  # it has made the cell itself
            self.stop()
            self._process.wait()
        return int(answer["exit"])

    def last_words(self, log: Sequence[str]) -> str:
        return log[-1] if log else ""

    def stop(self) -> None:
        """Ends the process, from any thread; who waits for an answer sees that there is none."""
        self.stopped = True
        self._process.kill()

    @property
    def usable(self) -> bool:
        """Tells whether it can make another cell."""
        return self._process.poll() is None


def attempt(task: Task, host: Host, place: str) -> Outcome:
    """Makes a cell in a child process, and puts its files in place.

    Args:
        task: the cell.
        host: makes it; one that is not usable afterwards is replaced by its owner.
        place: what this worker is called.
    """
    if task.version != __version__:
        versions = f"this worker has mvd {__version__}, and the sweep is of {task.version}"
        return failure(versions, "install the same version on all", worker=place)
    begun = time.monotonic()
    work = host.folder / "cell"
    try:
        store = Store(task.store)
        if kept := store.cell(task.digest):  # another worker made it, and its answer was lost
            return Outcome(kept, exists=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        outcome = _make(task, host, work)
        record = {**outcome.record, "worker": place, "seconds": round(time.monotonic() - begun, 1)}
        log = {"log": f"cells/{task.digest}/{LOG}"}
        if outcome.exists:
            record |= log | {key: f"cells/{task.digest}/{record[key]}" for key in NAMED if record.get(key)}
            (work / FILES / LOG).write_bytes(_log_of(work))
            store.publish(task.digest, work / FILES, record)
        elif not host.stopped:  # what nobody waits for any more has not failed
            with suppress(OutputError):  # what the cell failed of is to be told, and not this
                store.fail(task.digest, record | log, _log_of(work))
                record |= log
        return Outcome(record, outcome.exists, outcome.again)
    except (OutputError, OSError) as error:
        reason = error.message if isinstance(error, OutputError) else f"the system refused: {error.strerror}"
        return failure(reason, getattr(error, "hint", None) or "", worker=place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make(task: Task, host: Host, work: Path) -> Outcome:
    """Lets the child make a cell, and reads what came of it."""
    try:
        code = host.make(work, task.cell, task.time_limit)
    except ChildError as error:
        if error.late:
            return failure(f"not finished in {task.time_limit:g} s", "time_limit in the sweep's file gives it longer")
        return failure(f"the process that makes cells ended: {error}", "its log may say more")
    try:
        found = json.loads((work / OUTCOME).read_bytes())
    except (OSError, ValueError):  # its process ended before it had written that
        return failure(f"its process {_ended(code)}", "the log has where")
    again = found.pop("again", None)
    return Outcome(found, exists=again is None, again=bool(again))


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with {code}, without a result"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _log_of(work: Path) -> bytes:
    """Returns the end of a cell's log."""
    try:
        with (work / LOG).open("rb") as file:
            file.seek(max(0, (work / LOG).stat().st_size - LOG_BYTES))
            return file.read()
    except OSError:
        return b""
