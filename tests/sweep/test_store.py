"""Where a sweep's files go: a cell exists when all of it is there, whatever a store refuses, and wherever."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.sweep.store import Store

DIGEST = "a" * 64
RECORD = {"status": "done", "artifact": "net.onnx"}
FILES = {"net.onnx": b"1" * 1000, "net.mlpackage/one": b"2" * 1000, "net.mlpackage/two": b"3" * 1000}


class Refusals:
    """Refuses one of the calls that write."""

    calls = 0
    refused = -1

    @classmethod
    def count(cls) -> None:
        cls.calls += 1
        if cls.calls - 1 == cls.refused:
            raise OSError(errno.ENOSPC, "No space left on device")


class ObjectStore(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store of objects that may refuse."""

    protocol = "objects"

    def pipe_file(self, path: str, value: bytes, **given: Any) -> None:
        Refusals.count()
        super().pipe_file(path, value, **given)

    def put_file(self, lpath: str, rpath: str, **given: Any) -> None:
        Refusals.count()
        super().put_file(lpath, rpath, **given)


@pytest.fixture(params=["objects", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(Refusals, "calls", 0)
    monkeypatch.setattr(Refusals, "refused", -1)
    fsspec.register_implementation("objects", ObjectStore, clobber=True)
    if request.param == "disk":
        # A disk is full in the middle of a file: half of it is there.
        def copy(_self: LocalFileSystem, source: str, target: str, **_given: Any) -> None:
            content = Path(source).read_bytes()
            Path(target).write_bytes(content[: len(content) // 2])
            Refusals.count()
            Path(target).write_bytes(content)

        def pipe(_self: LocalFileSystem, path: str, content: bytes, **_given: Any) -> None:
            Path(path).write_bytes(content[: len(content) // 2])
            Refusals.count()
            Path(path).write_bytes(content)

        monkeypatch.setattr(LocalFileSystem, "put_file", copy)
        monkeypatch.setattr(LocalFileSystem, "pipe_file", pipe)
        yield Store(str(tmp_path / "out"))
        return
    yield Store(f"objects://{uuid4().hex}")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_bytes(content)
    return tmp_path / "made"


def content(store: Store) -> dict[str, bytes]:
    """Returns every file of a store."""
    files, root = fsspec.core.url_to_fs(store.url)
    names = files.find(root)
    return {name.removeprefix(root).lstrip("/"): files.cat_file(name) for name in names}


@pytest.mark.parametrize("refused", range(len(FILES) + 1))
def test_a_cell_exists_with_all_of_its_files_or_not_at_all(store: Store, made: Path, refused: int) -> None:
    Refusals.refused = refused
    with pytest.raises(OutputError, match="No space left") as error:
        store.publish(DIGEST, made, RECORD)
    assert error.value.hint
    assert (store.cell(DIGEST), store.finished()) == (None, {})
    assert all(value == FILES[name.partition(f"{DIGEST}/")[2]] for name, value in content(store).items())
    store.publish(DIGEST, made, RECORD)
    assert store.cell(DIGEST) == RECORD
    assert store.finished() == {DIGEST: RECORD}
    found = content(store)
    assert {name: found[f"cells/{DIGEST}/{name}"] for name in FILES} == FILES
    assert len(found) == len(FILES) + 1


def test_a_failure_is_no_cell_and_goes_when_there_is_one(store: Store, made: Path) -> None:
    store.fail(DIGEST, {"status": "failed"}, b"log")
    other = "b" * 64
    store.fail(other, {"status": "failed"}, b"log")
    assert (store.finished(), set(store.failures())) == ({}, {DIGEST, other})
    store.publish(DIGEST, made, RECORD)
    store.tidy({DIGEST, other})
    assert (set(store.finished()), set(store.failures())) == ({DIGEST}, {other})


def test_what_killed_writers_left_goes_with_its_own_cells(tmp_path: Path, made: Path) -> None:
    store = Store(str(tmp_path / "out"))
    for digest in (DIGEST, "b" * 64):
        store.publish(digest, made, RECORD)
        (tmp_path / "out" / "cells" / digest / "net.mlpackage" / ".unfinished-1-one").write_text("half")
    store.tidy({DIGEST})
    left = [path.parents[1].name for path in (tmp_path / "out").rglob(".unfinished-*")]
    assert left == ["b" * 64]


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"a": ', "\xff", "3", "x" * 2**21])
def test_a_damaged_record_is_none(store: Store, text: str) -> None:
    store.write(f"cells/{DIGEST}/cell.json", text.encode("latin-1"))
    assert (store.cell(DIGEST), store.finished()) == (None, {})


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot use"):
        Store(str(tmp_path / "out")).write("sweep.json", b"{}")
    assert (tmp_path / "out").read_text() == "mine"
