"""A process that makes cells, each in a fork of its own: what is imported once, all of them have.

A crash of native code, a cell that hangs and one that fills the memory end the fork and no more. Where a process
cannot be forked safely the cell is made here, and this process is used for no other.
"""

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import (
    CaptureError,
    CatalogError,
    CheckpointError,
    ModelCodeError,
    MvdError,
    UsageError,
    environment_fault,
)
from mobilevit_deploy.system import side_by_side
from mobilevit_deploy.system.json_text import dumps
from mobilevit_deploy.system.parent_watch import end_with_parent
from mobilevit_deploy.system.request_loop import answer_requests

Make = Callable[..., dict[str, Any]]
Prepare = Callable[..., None]

OUTCOME, LOG, FILES = "outcome.json", "log.txt", "files"
# What is wrong with the cell itself, and will be so again. All else may be the machine's: a package that it lacks, its
# disk, a converter that died.
OF_THE_CELL = (CatalogError, CheckpointError, ModelCodeError, CaptureError, UsageError)
MOST_WILLING = 1000  # to be ended where memory runs out, of Linux' oom_score_adj


class Worker:
    """Answers requests for cells."""

    def __init__(self, make: Make, prepare: Prepare) -> None:
        self._make, self._prepare = make, prepare

    def prepare(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Imports what a cell needs, for it and those behind it."""
        self._prepare(**cell)
        return {}

    def run(self, folder: str, cell: dict[str, Any]) -> dict[str, Any]:
        """Makes a cell.

        Args:
            folder: an empty one, that its files, its log and its outcome go to.
            cell: what ``make_cell`` is given.

        Returns:
            The exit code of the process that made it, negative for a signal.
        """
        work = Path(folder)
        if not side_by_side.CAN_FORK:
            _make_here(self._make, work, cell)
            return {"exit": 0}
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            return {"exit": os.waitstatus_to_exitcode(status)}
        try:
            end_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; who asked for the cell ends it
            with suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(str(MOST_WILLING))
            _make_here(self._make, work, cell)
        finally:
            os._exit(0)


def _make_here(make: Make, work: Path, cell: dict[str, Any]) -> None:
    """Makes a cell in this process, and writes down what came of it."""
    log = os.open(work / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # where requests come from
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = sys.stderr = os.fdopen(log, "w", buffering=1, errors="replace")
    faulthandler.enable(sys.stderr)
    (work / FILES).mkdir()
    try:
        found = make(**cell, folder=work / FILES)
    except BaseException as error:
        traceback.print_exc()
        found = _failure(error)
    draft = work / f"{OUTCOME}.draft"
    draft.write_text(dumps(found), encoding="utf-8")
    draft.rename(work / OUTCOME)
    sys.stdout.flush()


def _failure(error: BaseException) -> dict[str, Any]:
    """Returns what went wrong, the next step, and whether it may go well elsewhere."""
    fault = environment_fault(error)
    if isinstance(error, MvdError):
        message, hint = error.message, error.hint or ""
    elif fault:
        message, hint = f"the system refused: {fault.strerror}", ""
    else:
        message, hint = f"{type(error).__name__}: {error}", "the log has the traceback"
    again = fault is not None or not isinstance(error, OF_THE_CELL)
    return {"status": "failed", "reason": message[:4000], "hint": hint[:4000], "again": again}


def serve(make: Make, prepare: Prepare = lambda **_cell: None) -> None:
    """Answers requests until standard input ends.

    Args:
        make: a cell, see ``make_cell``; given what was asked for, and the folder for its files.
        prepare: imports what a cell needs, in this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer_requests(Worker(make, prepare))


if __name__ == "__main__":
    from mobilevit_deploy.sweep.make import make_cell
    from mobilevit_deploy.sweep.make import prepare as import_target

    serve(make_cell, import_target)
