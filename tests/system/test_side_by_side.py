"""Tasks in forks: results in order, what they raise, how they end, and nothing left of those that are not needed."""

import copyreg
import errno
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from mobilevit_deploy.errors import ConversionError, environment_fault
from mobilevit_deploy.system.side_by_side import CAN_FORK, EndedError, Line, Task, Tell, beside, run_side_by_side

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="one after the other where a process cannot be forked safely")

PATIENCE_S = 20


def wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)


def first_to_end_last(place: int, folder: Path, tell: Tell) -> int:
    tell(f"{place} begins")
    if place == 0:
        wait_for(folder / "1")
    (folder / str(place)).touch()
    return place


def test_results_are_in_order_and_lines_tell_their_task(tmp_path: Path) -> None:
    lines: list[str] = []
    tasks = [partial(first_to_end_last, place, tmp_path) for place in range(3)]
    assert run_side_by_side(tasks, 3, lines.append) == [0, 1, 2]
    assert {(str(line), line.place) for line in lines if isinstance(line, Line)} == {
        (f"{place} begins", place) for place in range(3)
    }


def test_no_more_run_at_once_than_was_said(tmp_path: Path) -> None:
    def alone(_tell: Tell) -> None:
        (tmp_path / "running").mkdir()  # raises where another runs
        time.sleep(0.05)
        (tmp_path / "running").rmdir()

    assert run_side_by_side([alone] * 4, 1) == [None] * 4


def test_what_a_task_changes_is_its_own() -> None:
    seen: list[int] = []
    assert run_side_by_side([lambda _tell: seen.append(1), lambda _tell: len(seen)], 1)[1] == 0
    assert seen == []


def sleep(folder: Path, _tell: Tell) -> None:
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)


def is_running(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def test_what_a_task_raises_comes_with_its_hint_and_ends_those_behind_it(tmp_path: Path) -> None:
    def fail_late(_tell: Tell) -> None:
        wait_for(tmp_path / "pid")
        raise ConversionError("refused", "try another")

    start = time.monotonic()
    tasks: list[Task[None]] = [fail_late, partial(sleep, tmp_path)]
    with pytest.raises(ConversionError) as raised:
        run_side_by_side(tasks, 2)
    assert (raised.value.message, raised.value.hint) == ("refused", "try another")
    assert "in fail_late" in raised.value.__notes__[0]  # the lines of the child
    assert not is_running(tmp_path)
    assert time.monotonic() - start < PATIENCE_S


def test_the_first_failure_is_told_whichever_came_first(tmp_path: Path) -> None:
    def first(_tell: Tell) -> None:
        wait_for(tmp_path / "second")
        time.sleep(0.1)
        raise ValueError("first")

    def second(_tell: Tell) -> None:
        (tmp_path / "second").touch()
        raise ValueError("second")

    with pytest.raises(ValueError, match=r"^first"):
        run_side_by_side([first, second], 2)


@pytest.mark.parametrize(("end", "code", "told"), [(signal.SIGKILL, -9, "ended by SIGKILL"), (None, 7, "ended with 7")])
def test_a_process_that_ends_is_told(end: signal.Signals | None, code: int, told: str) -> None:
    def task(_tell: Tell) -> None:
        if end:
            os.kill(os.getpid(), end)
        os._exit(7)

    with pytest.raises(EndedError, match=told) as raised:
        run_side_by_side([lambda _tell: 1, task], 2)
    assert (raised.value.place, raised.value.exit_code) == (1, code)


def test_what_cannot_be_sent_is_told() -> None:
    with pytest.raises(Exception, match="lambda"):
        run_side_by_side([lambda _tell: lambda: 1], 1)


class OtherArgumentsError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_exception_that_cannot_be_sent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # Dask, where another test imported it, lets tblib send any exception that there is.
    monkeypatch.delitem(copyreg.dispatch_table, OtherArgumentsError, raising=False)

    def task(_tell: Tell) -> None:
        raise OtherArgumentsError(1, 2)

    with pytest.raises(RuntimeError, match="OtherArgumentsError: 1 and 2"):
        run_side_by_side([task], 1)


def test_what_an_exception_comes_from_is_kept() -> None:
    def task(_tell: Tell) -> None:
        try:
            raise OSError(errno.ENOSPC, "no space")
        except OSError as error:
            raise ConversionError("not written") from error

    with pytest.raises(ConversionError) as raised:
        run_side_by_side([task], 1)
    fault = environment_fault(raised.value)
    assert fault is not None
    assert fault.errno == errno.ENOSPC


def test_an_interruption_ends_them(tmp_path: Path) -> None:
    def interrupt(_line: str) -> None:
        wait_for(tmp_path / "pid")
        raise KeyboardInterrupt

    def tell_and_wait(tell: Tell) -> None:
        tell("begins")
        time.sleep(60)

    tasks: list[Task[None]] = [partial(sleep, tmp_path), tell_and_wait]
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side(tasks, 2, interrupt)
    assert not is_running(tmp_path)


def test_one_beside_this_process(tmp_path: Path) -> None:
    def wait() -> int:
        wait_for(tmp_path / "begun")
        return os.getpid()

    with beside(wait) as result:
        (tmp_path / "begun").touch()
        assert result() not in (None, os.getpid())


def fail() -> None:
    raise ValueError("whoever needs it sees why")


@pytest.mark.parametrize("task", [fail, lambda: os._exit(1), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_one_that_fails_has_no_result(task: Callable[[], None]) -> None:
    with beside(task) as result:
        assert result() is None


def test_one_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    def sleep() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        (tmp_path / "begun").touch()
        time.sleep(600)

    with suppress(KeyboardInterrupt), beside(sleep):
        wait_for(tmp_path / "begun")
        raise KeyboardInterrupt
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
