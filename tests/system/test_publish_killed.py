"""The moment in which names are put in place: killed at every line, refused in the middle, and two at once."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.system import owned_folders
from mobilevit_deploy.system import publish as publishing
from mobilevit_deploy.system.atomic_replace import exchange
from mobilevit_deploy.system.owned_folders import abandoned, claim
from mobilevit_deploy.system.publish import STAGING_PREFIX, publish, staging
from tests.support.faults import Survived
from tests.system.publishing import NAMES, contents, fill

FEWEST_LINES = 60


@pytest.mark.parametrize("how", ["swap", "rename"])
def test_killed_at_every_line(tmp_path: Path, survived: Survived, how: str) -> None:
    command = [sys.executable, "-m", "tests.system.publishing", str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count = int(done.stdout)
    assert count > FEWEST_LINES, "the lines were not traced"
    for line in range(count):
        survived(str(line))


def test_names_are_swapped_here(tmp_path: Path) -> None:
    """Without this the test above would say less than it seems to."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").mkdir()
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "none")


def publish_new(folder: Path) -> None:
    with staging(folder) as work:
        fill(work, "new")
        publish(work, folder)


@pytest.mark.parametrize("refused", range(len(NAMES)))
def test_a_rename_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: Survived, refused: int
) -> None:
    """What was put in place before it goes back."""
    fill(tmp_path, "old")
    put = publishing._put

    def refuse(item: Path, final: Path) -> Callable[[], object]:
        if item.name == sorted(NAMES)[refused]:
            raise PermissionError(1, "not permitted")
        return put(item, final)

    monkeypatch.setattr(publishing, "_put", refuse)

    with pytest.raises(OutputError, match="not permitted"):
        publish_new(tmp_path)
    assert contents(tmp_path) == {name: {"old"} for name in NAMES[:-1]}
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES[:-1])
    survived("")


@pytest.mark.parametrize("refused", range(1, len(NAMES)))
def test_the_working_folder_disappears_between_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: Survived, refused: int
) -> None:
    """Where nothing stood before, nothing stands after: what was put in place cannot go back, and is removed."""
    put = publishing._put

    def vanish(item: Path, final: Path) -> Callable[[], object]:
        if item.name == sorted(NAMES)[refused]:
            shutil.rmtree(item.parents[1])
        return put(item, final)

    monkeypatch.setattr(publishing, "_put", vanish)

    with pytest.raises(OutputError, match="No such file"):
        publish_new(tmp_path)
    assert list(tmp_path.iterdir()) == []
    survived("")


def test_two_at_once(tmp_path: Path, survived: Survived) -> None:
    """Twenty rounds of two writers: each time all names are of one of the two."""

    def write(text: str) -> None:
        with staging(tmp_path) as work:
            for name in NAMES:
                (work / name).write_text(text)
            start.wait()
            publish(work, tmp_path)

    start = threading.Barrier(2, timeout=60)
    for number in range(20):
        with ThreadPoolExecutor() as writers:
            list(writers.map(write, ("left", "right")))
        texts = {(tmp_path / name).read_text() for name in NAMES}
        assert len(texts) == 1, f"a mixture: {texts}"
        assert {path.name for path in tmp_path.iterdir()} == set(NAMES)
        survived(str(number))


def test_what_is_in_use_is_not_cleaned_up(tmp_path: Path) -> None:
    with staging(tmp_path) as work:
        with staging(tmp_path):
            assert work.is_dir()
        (tmp_path / f"{STAGING_PREFIX}left").mkdir()  # as a process leaves it that was killed
    assert list(tmp_path.iterdir()) == [tmp_path / f"{STAGING_PREFIX}left"]
    with staging(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_cleaned_up_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another export that begins in the moment between takes it for one that was left behind."""
    taken: list[Path] = []

    def lock(path: Path) -> int | None:
        if not taken:
            taken.append(path)
            path.rmdir()
        return lock_folder(path)

    lock_folder = owned_folders._lock
    monkeypatch.setattr(owned_folders, "_lock", lock)

    held = claim(tmp_path, "a-")
    assert held.lock is not None
    assert [*tmp_path.iterdir()] == [held.path] != taken
    held.release()


def test_a_claim_goes_with_its_process(tmp_path: Path) -> None:
    held = claim(tmp_path, "a-")
    assert list(abandoned(tmp_path, "a-")) == []
    assert held.lock is not None
    os.close(held.lock)  # as the system does at the end of a process
    assert [item.path for item in abandoned(tmp_path, "a-")] == [held.path]
