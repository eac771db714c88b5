"""Disks that are full, folders that cannot be written or disappear, and two exports to one name."""

import atexit
import ctypes
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mobilevit_deploy.targets.artifact import Artifact, ConversionRequest
from tests.export.faults.exports import Checkpoints, check_whole, export, hashes, recover, weights_by_target
from tests.support.faults import Survived
from tests.support.forks import Done, Forks

BOTH = ("onnx", "coreml")
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 0x4000, 0x40000
NO_DISK = "no file system can be made for this test: be root, or permit user name spaces"
STAGES = ("onnx: converting", "coreml: converting", "comparing tiny_net_build-8x8-fp16", "publishing into")


def give_up_rights(_: Path) -> None:
    """Makes this process, a fork, subject to permissions even where it is root's; called before the program."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)()
        library = ctypes.CDLL(None, use_errno=True)
        assert library.capget(header, sets) == 0
        for i in range(3):  # effective, permitted, inheritable
            sets[i] &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)
        assert library.capset(header, sets) == 0


def stop_where_it_converts(log: Path) -> None:
    """Makes this process, a fork without rights, stop before it writes a package, until it is sent on."""
    from mobilevit_deploy.targets.coreml import convert as coreml

    convert = coreml.convert

    def stopping(request: ConversionRequest) -> Artifact:
        os.kill(os.getpid(), signal.SIGSTOP)
        return convert(request)

    give_up_rights(log)
    coreml.convert = stopping


def _stopped(pid: int) -> list[psutil.Process]:
    """Returns what is stopped of a run and the forks that it exports in."""
    run = psutil.Process(pid)
    return [item for item in (run, *run.children(recursive=True)) if item.status() == psutil.STATUS_STOPPED]


def refused(done: Done, *texts: str) -> None:
    """Checks that a run ended as a user's error that says what the system refused."""
    assert done.code == 1, done.errors
    said = done.errors.partition("Traceback")[0]
    assert "cannot write" in said or "the system refused" in said, said
    assert any(text in said for text in texts), said


@pytest.fixture
def folder(earlier: Path, here: Path) -> Path:
    """An output folder with an earlier export."""
    return Path(shutil.copytree(earlier, here / "artifacts"))


@pytest.mark.parametrize(
    "size", [2000, 8000, *(pytest.param(size, marks=pytest.mark.slow) for size in (1000, 3000, 5000, 12_000))]
)
@pytest.mark.parametrize("target", BOTH)
def test_no_file_may_grow_further(
    forks: Forks,
    checkpoints: Checkpoints,
    here: Path,
    log: Path,
    folder: Path,
    survived: Survived,
    size: int,
    target: str,
) -> None:
    """A limit on the size of files is refused where a full disk is: in the middle of a write."""
    old = hashes(folder)
    done = forks.wait(forks.start(export(checkpoints.second, target), here, log, RLIMIT_FSIZE=size))
    check_whole(folder, old)
    if done.code != 0:
        refused(done, "File too large")
        assert hashes(folder) == old
    recover(folder)
    survived("")


def use_full_disk(log: Path) -> None:
    """Gives this process, a fork, a file system of a few kilobytes as its current folder; it ends with the process.

    Where this process is not root, it becomes so in a name space of its own.
    """
    disk, user, group = log.parent / "disk", os.getuid(), os.getgid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)):
        raise OSError(ctypes.get_errno(), f"{NO_DISK}: unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    library.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if library.mount(b"none", os.fsencode(disk), b"tmpfs", 0, b"size=24k"):
        raise OSError(ctypes.get_errno(), f"{NO_DISK}: mount")
    os.chdir(disk)
    # Whoever looks from outside sees the folder below.
    atexit.register(lambda: (log / "left").write_text("\n".join(map(str, disk.iterdir()))))


def test_a_full_disk(forks: Forks, checkpoints: Checkpoints, log: Path, tmp_path: Path, survived: Survived) -> None:
    (tmp_path / "disk").mkdir()
    arguments = export(checkpoints.first, *BOTH)
    done = forks.wait(forks.start(arguments, tmp_path, log, "tests.export.faults.test_storage:use_full_disk"))
    refused(done, "No space left")
    assert (log / "left").read_text() == ""
    survived("")


def test_a_folder_that_is_read_only(
    forks: Forks, checkpoints: Checkpoints, here: Path, log: Path, folder: Path, survived: Survived
) -> None:
    old = hashes(folder)
    folder.chmod(0o555)
    run = forks.start(export(checkpoints.second, *BOTH), here, log, "tests.export.faults.test_storage:give_up_rights")
    refused(forks.wait(run), "Permission denied")
    folder.chmod(0o755)
    assert hashes(folder) == old
    recover(folder)
    survived("")


def test_a_folder_that_becomes_read_only(
    forks: Forks, checkpoints: Checkpoints, here: Path, log: Path, folder: Path, survived: Survived
) -> None:
    old = hashes(folder)
    run = forks.start(
        export(checkpoints.second, *BOTH), here, log, "tests.export.faults.test_storage:stop_where_it_converts"
    )
    end = time.perf_counter() + 60
    while not (stopped := _stopped(run.pid)) and time.perf_counter() < end:
        time.sleep(0.01)
    folder.chmod(0o555)
    for process in stopped:
        process.resume()
    refused(forks.wait(run), "Permission denied")
    folder.chmod(0o755)
    assert hashes(folder) == old
    recover(folder)
    survived("")


@pytest.mark.parametrize(
    ("stage", "whole"),
    [
        pytest.param(stage, whole, marks=() if (i + whole) % 2 else (pytest.mark.slow,))
        for i, stage in enumerate(STAGES)
        for whole in (True, False)
    ],
)
def test_a_folder_that_disappears(
    forks: Forks, checkpoints: Checkpoints, here: Path, log: Path, survived: Survived, stage: str, whole: bool
) -> None:
    """The output folder, or the working folder in it, is removed while the export runs."""
    folder = here / "artifacts"
    run = forks.start(export(checkpoints.first, *BOTH), here, log)
    _wait_for(stage, log)
    for number, path in enumerate([folder] if whole else list(folder.glob(".mvd-unfinished-*"))):
        # In one step: a removal file by file also takes what was moved to its final name in the meantime.
        with suppress(FileNotFoundError):
            path.rename(log / f"removed-{number}")
    done = forks.wait(run)
    if done.code == 0:  # it was quicker
        assert not whole or not folder.exists() or weights_by_target(folder)
    else:
        refused(done, "it was removed meanwhile", "No such file")
        assert not folder.exists() or hashes(folder) == {}
    survived("")


def test_a_file_in_the_way(forks: Forks, checkpoints: Checkpoints, here: Path, log: Path, survived: Survived) -> None:
    (here / "artifacts").write_text("mine")
    refused(forks.run(export(checkpoints.first, *BOTH), here, log), "File exists", "Not a directory")
    assert (here / "artifacts").read_text() == "mine"
    survived("")


@pytest.mark.parametrize("number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2, 3))])
def test_two_exports_to_one_name(
    forks: Forks, checkpoints: Checkpoints, here: Path, log: Path, tmp_path: Path, survived: Survived, number: int
) -> None:
    """Both end well, and everything in the folder is of one of them."""
    other_log = tmp_path / "other-log"
    other_log.mkdir()
    runs = [forks.start(export(checkpoints.first, *BOTH), here, log)]
    time.sleep(0.02 * number)
    runs.append(forks.start(export(checkpoints.second, *BOTH), here, other_log))
    for run in runs:
        done = forks.wait(run)
        assert done.code == 0, done.errors
    recover(here / "artifacts")
    assert len(set(weights_by_target(here / "artifacts").values())) == 1
    survived("")


def _wait_for(text: str, log: Path) -> None:
    end = time.perf_counter() + 60
    while text not in _errors(log) and time.perf_counter() < end:
        time.sleep(0.001)


def _errors(log: Path) -> str:
    return (log / "errors").read_text() if (log / "errors").exists() else ""
