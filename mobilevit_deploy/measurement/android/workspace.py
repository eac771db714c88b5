"""A folder on the phone for one measurement, with a program and a model; it goes, whatever happens."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.android.adb import Answer, adb, shell

ROOT = "/data/local/tmp"  # the one place where adb's user may run programs
PUSH_S = 300.0  # for the largest model, over a slow cable


class Workspace:
    """The folder; the files in it have names of ours, so nothing of the user's is in a command on the phone."""

    def __init__(self, serial: str, folder: str) -> None:
        self.serial, self.folder = serial, folder

    def push(self, path: Path, name: str) -> str:
        """Copies a file and returns its path on the phone; raises AdbError."""
        target = f"{self.folder}/{name}"
        adb("push", str(path.resolve()), target, serial=self.serial, limit_s=PUSH_S)
        return target

    def push_program(self, path: Path, name: str) -> str:
        """Copies a program and returns its path on the phone; raises AdbError."""
        target = self.push(path, name)
        shell(self.serial, "chmod", "700", target)
        return target

    def run(self, *command: str, limit_s: float) -> Answer:
        """Runs a program on the phone; raises AdbError where that cannot be reached, or the program does not end."""
        answer = shell(self.serial, *command, limit_s=limit_s)
        shell(self.serial, "true")  # a cable that is pulled meanwhile may end a command as if it had said all
        return answer


@contextmanager
def open_workspace(serial: str) -> Iterator[Workspace]:
    """Makes the folder; at the end, ends what still runs from it and removes it.

    Raises:
        MeasurementError: the phone cannot be reached, or refuses the folder.
    """
    folder = f"{ROOT}/mvd-{secrets.token_hex(8)}"
    made = shell(serial, "mkdir", "-m", "700", folder)
    if made.code != 0:
        reason = (made.err or made.out).strip().splitlines()[-1:] or ["it does not say why"]
        raise MeasurementError(f"the phone makes no folder in {ROOT}: {reason[0]}", "is its storage full?")
    try:
        yield Workspace(serial, folder)
    finally:
        with suppress(MeasurementError):  # a phone that is gone, which is being reported, keeps the folder
            shell(serial, "pkill", "-9", "-f", folder)
            shell(serial, "rm", "-rf", folder)
