"""Fixtures with the stand-ins of libraries, on the path for one test."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARIES = Path(__file__).parent / "libraries"
NAMES = ("timm", "torchvision", "transformers")


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with timm 1.2.3, torchvision 1.2.3 and transformers 1.2.3 as ``tests/support/libraries`` has them."""
    folder = tmp_path / "libraries"
    for name in NAMES:
        shutil.copytree(LIBRARIES / name, folder / name)
        metadata = folder / f"{name}-1.2.3.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
    _forget()
    monkeypatch.syspath_prepend(folder)
    yield folder
    _forget()


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without these libraries, whatever is installed here."""
    _forget()
    for name in NAMES:
        monkeypatch.setitem(sys.modules, name, None)
