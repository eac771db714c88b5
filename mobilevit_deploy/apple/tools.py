"""Apple's command line tools: whether they are here, and one call of ``devicectl``."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.system.child_process import run_tool

LIMIT_S = 30.0  # a call of devicectl takes one or two
OLDEST_MACOS = (14, 4)  # coremltools' own limit for a device's compute plan, and devicectl comes with Xcode 15
SELECT_XCODE = (
    "install Xcode 15 or later from the App Store, open it once, and type: "
    "sudo xcode-select -s /Applications/Xcode.app (docs/how-to/iphone.md has all the steps)"
)


class DevicectlError(MeasurementError):
    """``devicectl`` ended with an error."""


def require_tools() -> Path:
    """Returns where ``devicectl`` lies; raises MeasurementError, with the next step, when Xcode cannot be used."""
    if shutil.which("xcrun") is None:
        raise MeasurementError(
            f"Core ML on an iPhone needs a Mac with Xcode, and there is no xcrun here ({_system()})",
            "run it on a Mac with the iPhone attached (docs/how-to/iphone.md); ONNX files run here too"
            if sys.platform != "darwin"
            else SELECT_XCODE,
        )
    version = tuple(int(part) for part in re.findall(r"\d+", platform.mac_ver()[0])[:2])
    if version and version < OLDEST_MACOS:
        raise MeasurementError(
            f"macOS {platform.mac_ver()[0]} is too old to measure on an iPhone", "14.4 is the oldest"
        )
    found = _ask("xcrun", "-f", "devicectl")
    if found.returncode != 0:
        raise MeasurementError(
            f"xcrun finds no devicectl, which comes with Xcode: {_last_line(found.stderr)}", SELECT_XCODE
        )
    return Path(found.stdout.strip())


def xcode_version() -> str:
    """Returns such as ``Xcode 26.1``; raises MeasurementError when ``xcodebuild`` cannot build, as before a licence."""
    if shutil.which("xcodebuild") is None:
        raise MeasurementError("there is no xcodebuild on PATH, which builds the app for the iPhone", SELECT_XCODE)
    answer = _ask("xcodebuild", "-version")
    if answer.returncode != 0:
        raise MeasurementError(f"xcodebuild cannot be used: {_last_line(answer.stderr)}", SELECT_XCODE)
    return answer.stdout.splitlines()[0] if answer.stdout else "Xcode"


def devicectl(*arguments: str) -> dict[str, Any]:
    """Returns the JSON that a call of ``xcrun devicectl`` writes; raises DevicectlError when it fails or hangs."""
    with tempfile.TemporaryDirectory(prefix="mvd-devicectl-") as folder:
        path = Path(folder) / "answer.json"
        done = _ask("xcrun", "devicectl", *arguments, "-j", str(path))
        if done.returncode != 0:
            raise DevicectlError(f"devicectl {' '.join(arguments[:3])}: {_last_line(done.stderr)}", "try it again")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DevicectlError(f"devicectl {' '.join(arguments[:3])} wrote no JSON", SELECT_XCODE) from error
    return document if isinstance(document, dict) else {}


@contextmanager
def on_path(program: Path) -> Iterator[None]:
    """Makes a program's folder the last of PATH while it lasts.

    coremltools asks for ``devicectl`` itself, which where there is no link to it only ``xcrun`` finds.
    """
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{before}{os.pathsep}{program.parent}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def check_shell_safe(path: Path, what: str, hint: str) -> None:
    """Raises MeasurementError for a path that a shell would take apart: coremltools writes it into one, unquoted."""
    if shlex.quote(str(path)) != str(path):
        raise MeasurementError(
            f"{what} is {path}, and coremltools takes no path with spaces or special characters", hint
        )


def error_lines(text: str) -> list[str]:
    """Returns the lines of a tool's output that say what went wrong; all that are not empty where none does."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)] or lines


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return run_tool(command, LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise DevicectlError(
            f"{' '.join(command[:4])} did not answer within {LIMIT_S:.0f} s",
            "unplug the iPhone and plug it in again; if that does not help, restart the Mac",
        ) from error
    except OSError as error:
        raise DevicectlError(f"{command[0]} cannot be started: {error.strerror}", SELECT_XCODE) from error


def _last_line(text: str) -> str:
    return error_lines(text)[-1] if text.strip() else "it does not say why"


def _system() -> str:
    return "macOS" if sys.platform == "darwin" else platform.system()
