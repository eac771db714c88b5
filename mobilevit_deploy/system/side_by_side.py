"""Tasks side by side, each in a fork of this process: it has all that was loaded, and costs what it changes of it.

What a task returns or raises, and what it tells of its progress, comes back through a pipe. Forks share their files
with this process, so nothing that it prints into is used by them, and their threads are their own business: a library
that had threads before the fork has none after it.
"""

import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from mobilevit_deploy.system.parent_watch import end_with_parent

Result = TypeVar("Result")
Tell = Callable[[str], None]
Task = Callable[[Tell], Result]

# Elsewhere a fork is not safe: Apple's own libraries end one that uses them, and Windows has none.
CAN_FORK = sys.platform == "linux"


class EndedError(Exception):
    """A process that ended without a result.

    Attributes:
        place: of its task.
        exit_code: of the process; negative for the signal that ended it.
    """

    def __init__(self, place: int, exit_code: int) -> None:
        self.place, self.exit_code = place, exit_code
        super().__init__(f"ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with {exit_code}")


class Line(str):
    """A line of progress of one of several tasks.

    Attributes:
        place: of the task.
    """

    __slots__ = ("place",)
    place: int

    def __new__(cls, text: str, place: int) -> "Line":
        """Returns the text, with its task."""
        line = super().__new__(cls, text)
        line.place = place
        return line


def run_side_by_side(tasks: Sequence[Task[Result]], jobs: int, tell: Tell = lambda _line: None) -> list[Result]:
    """Runs tasks in processes of their own; returns what they return, in their order.

    Args:
        tasks: each is given what takes its lines of progress; what it returns or raises can be pickled.
        jobs: how many run at once.
        tell: is told the lines, as they come.

    Raises:
        Exception: what the first task raised that failed, in their order; those behind it are ended.
        EndedError: likewise, where its process ended without a result.
    """
    return _Run(tasks, tell).run(jobs)


@contextmanager
def beside(task: Callable[[], Result]) -> Iterator[Callable[[], Result | None]]:
    """Runs a task in a fork while this process goes on, and ends it with the block.

    Gives what waits for its result: None where it failed, for whoever needs it to do it again and see why.
    """
    receiver, process = _fork(lambda _tell: task())

    def result() -> Result | None:
        try:
            kind, value = receiver.recv()
        except EOFError:
            return None
        return value if kind == "returned" else None

    try:
        yield result
    finally:
        process.kill()
        process.join()
        receiver.close()


def _fork(task: Task[Any]) -> tuple[Connection, Any]:
    """Begins a task in a process of its own; returns what it tells, and the process."""
    receiver, sender = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=_work, args=(task, sender))
    with warnings.catch_warnings():  # of forks beside threads; a child uses none of them
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()  # so that the end of the child is the end of its lines
    return receiver, process


@dataclass
class _Child(Generic[Result]):
    process: Any
    lines: Connection


class _Run(Generic[Result]):
    """The processes of one call; none of them outlives it."""

    def __init__(self, tasks: Sequence[Task[Result]], tell: Tell) -> None:
        self._tasks, self._tell = tasks, tell
        self._running: dict[int, _Child[Result]] = {}
        self._results: dict[int, Result] = {}
        self._failed: dict[int, BaseException] = {}

    def run(self, jobs: int) -> list[Result]:
        waiting = list(range(len(self._tasks)))
        try:
            while waiting or self._running:
                while waiting and len(self._running) < jobs:
                    self._start(waiting.pop(0))
                self._listen()
                self._raise_first(waiting)
        finally:
            for child in self._running.values():
                child.process.kill()
            for child in self._running.values():
                child.process.join()
        return [self._results[place] for place in range(len(self._tasks))]

    def _start(self, place: int) -> None:
        receiver, process = _fork(self._tasks[place])
        self._running[place] = _Child(process, receiver)

    def _listen(self) -> None:
        ready = wait([child.lines for child in self._running.values()])
        for place, child in list(self._running.items()):
            if child.lines in ready:
                self._take(place, child)

    def _take(self, place: int, child: _Child[Result]) -> None:
        """Takes one line, or the result, of a child."""
        try:
            kind, value = child.lines.recv()
        except EOFError:
            child.process.join()
            kind, value = "raised", [EndedError(place, child.process.exitcode)]
        if kind == "line":
            self._tell(Line(value, place))
            return
        if kind == "returned":
            self._results[place] = value
        else:
            self._failed[place] = _linked(value)
        child.process.join()
        child.lines.close()
        del self._running[place]

    def _raise_first(self, waiting: Sequence[int]) -> None:
        """Raises what the first task raised, unless one before it may yet fail."""
        unfinished = {*waiting, *self._running}
        if self._failed and not any(place < min(self._failed) for place in unfinished):
            raise self._failed[min(self._failed)]


def _work(task: Task[Any], sender: Connection) -> None:
    """Runs a task in the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; the parent ends its children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    # What the parent prints into may be locked by a thread of it that there is not here.
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)
    try:
        sender.send(("returned", task(lambda line: sender.send(("line", line)))))
    except BaseException as error:
        with suppress(OSError):  # the parent is gone
            sender.send(("raised", _chain(error)))
    sys.stderr.flush()
    os._exit(0)  # what the parent cleans up at its end is the parent's


def _chain(error: BaseException) -> list[BaseException]:
    """Returns an exception and those that it comes from, which pickle leaves out; the first has the child's lines."""
    lines = "".join(traceback.format_exception(error))
    chain = []
    inner: BaseException | None = error
    while inner is not None:
        chain.append(_portable(inner))
        inner = inner.__cause__ or inner.__context__
    chain[0].add_note(f"In its process:\n{lines}")
    return chain


def _portable(error: BaseException) -> BaseException:
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 - what this line has written
    except Exception:  # a class of somebody else's, whose arguments are not those of its making
        return RuntimeError(f"{type(error).__name__}: {error}")
    return copy


def _linked(chain: Sequence[BaseException]) -> BaseException:
    for error, inner in pairwise(chain):
        error.__cause__ = inner
    return chain[0]
