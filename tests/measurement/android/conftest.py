"""The stand-in for adb and a phone, ready for a test."""

import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.measurement.latency import android
from tests.support.android_tools import adb
from tests.support.apple_tools.state import State
from tests.targets.litert.tflite.test_program import CONTENT

BIN = Path(__file__).parents[2] / "support" / "android_tools" / "bin"
AARCH64, X86_64 = 183, 62


@dataclass
class Phone:
    """One test's phone, and the user's files.

    Attributes:
        folder: of the stand-in.
        model: a ``.tflite`` file.
        binary: a tool for the phone.
    """

    folder: Path
    model: Path
    binary: Path

    def set(self, *modes: str, **state: Any) -> None:
        """Makes something go wrong from now on."""
        (self.folder / "modes").write_text(" ".join(modes))
        for name, value in state.items():
            (self.folder / f"{name}.json").write_text(json.dumps(value))

    def calls(self) -> list[list[str]]:
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def shells(self) -> list[str]:
        """Returns what the phone's shell was given, in order."""
        return [call[3] for call in self.calls() if call[2:3] == ["shell"]]

    def leftovers(self) -> list[Path]:
        """Returns the files that are left on the phone."""
        return [path for path in (self.folder / "phone").rglob("*") if path.name.startswith(("mvd", "b", "model"))]


def write_program(path: Path, machine: int) -> Path:
    """Writes the head of an ELF file for a machine."""
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(40))
    return path


def answer(command: list[str], _limit_s: float) -> subprocess.CompletedProcess[str]:
    """Plays a call of adb in this process, which takes a hundredth of the time."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = adb.main(State(Path(os.environ["STAND_IN"])), command[1:])
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


@pytest.fixture
def phone(cabled: Phone, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone whose adb is played in this process."""
    monkeypatch.setattr("mobilevit_deploy.measurement.android.adb.run_tool", answer)
    return cabled


@pytest.fixture
def cabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone behind the stand-in's executable."""
    (tmp_path / "stand_in").mkdir()
    for name, value in {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "STAND_IN": str(tmp_path / "stand_in"),
        "STAND_IN_PYTHON": sys.executable,
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT", "MVD_ANDROID_TOOLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(android, "COOL_DOWN_S", 0.0)
    model = tmp_path / "a model; rm -rf $HOME.tflite"
    model.write_bytes(CONTENT)
    return Phone(tmp_path / "stand_in", model, write_program(tmp_path / "benchmark_model", AARCH64))


Mvd = Callable[..., Any]
