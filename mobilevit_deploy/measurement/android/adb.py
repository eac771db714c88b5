"""Android's debug bridge, ``adb``, of Google's platform tools or of Debian: where it is, and one call of it.

Calls are lists of arguments. What runs on the phone passes through the phone's shell, so it is quoted for that.
"""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.system.child_process import run_tool

LIMIT_S = 30.0  # of a small call; the first one also starts adb's server
VARIABLES = ("ANDROID_HOME", "ANDROID_SDK_ROOT")  # where Android Studio's tools lie
INSTALL = (
    "install it: apt install adb, brew install --cask android-platform-tools, or Google's platform tools "
    "(docs/how-to/android.md has all the steps)"
)
# adb's own words for a phone that is gone, on the stream that a command on the phone writes to as well; source: its
# commandline.cpp and transport.cpp in packages/modules/adb.
_LOST = re.compile(r"(?:adb: |error: )+((?:device|no devices|closed|protocol fault|cannot connect|failed to get).*)")
GONE = "look at the cable, and at the phone; mvd devices shows what is seen"


class AdbError(MeasurementError):
    """A call of ``adb`` that failed or hung."""


@dataclass(frozen=True)
class Answer:
    """What a command on the phone printed, and its exit code."""

    code: int
    out: str
    err: str


def find_adb() -> Path:
    """Returns where ``adb`` lies: on PATH, or in the folder that Android's variables name; raises MeasurementError."""
    found = shutil.which("adb")
    folders = [Path(os.environ[name]) / "platform-tools" for name in VARIABLES if os.environ.get(name)]
    for folder in folders:
        found = found or shutil.which("adb", path=str(folder))
    if found is None:
        raise MeasurementError("there is no adb here, which talks to Android phones", INSTALL)
    return Path(found)


def adb(*arguments: str, serial: str | None = None, limit_s: float = LIMIT_S) -> str:
    """Returns what a call prints on stdout; raises AdbError when it fails or hangs.

    Args:
        arguments: of ``adb``, such as ``devices``, ``-l``.
        serial: of the phone, for what is about one.
        limit_s: how long it may take.
    """
    done = _run(arguments, serial, limit_s)
    if done.returncode != 0:
        raise AdbError(f"adb {arguments[0]}: {_reason(done)}", GONE)
    return done.stdout


def shell(serial: str, *command: str, limit_s: float = LIMIT_S) -> Answer:
    """Runs a command on the phone; raises AdbError when the phone cannot be reached, not when the command fails.

    Args:
        serial: of the phone.
        command: the program and its arguments, each of which reaches it as it is.
        limit_s: how long it may take.
    """
    return script(serial, shlex.join(command), limit_s=limit_s)


def script(serial: str, text: str, limit_s: float = LIMIT_S) -> Answer:
    """Runs a line of the phone's shell, which must be a constant of ours; see ``shell``."""
    done = _run(("shell", text), serial, limit_s)
    lost = next(filter(None, map(_LOST.match, _lines(done.stderr))), None)
    if done.returncode != 0 and lost is not None:
        raise AdbError(f"the phone {serial} cannot be reached: {lost[1]}", GONE)
    return Answer(done.returncode, done.stdout, done.stderr)


def _run(arguments: tuple[str, ...], serial: str | None, limit_s: float) -> subprocess.CompletedProcess[str]:
    command = [str(find_adb()), *(["-s", serial] if serial else []), *arguments]
    try:
        return run_tool(command, limit_s)
    except subprocess.TimeoutExpired as error:
        raise AdbError(
            f"adb {arguments[0]} did not end within {limit_s:.0f} s",
            "unplug the phone and plug it in again; adb kill-server makes adb start anew",
        ) from error
    except OSError as error:
        raise AdbError(f"{command[0]} cannot be started: {error.strerror}", INSTALL) from error


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = _lines(done.stderr) or _lines(done.stdout) or [f"exit {done.returncode}"]
    return lines[-1].removeprefix("adb: ").removeprefix("error: ")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
