"""A worker whose cells take milliseconds, and fail as they are told to: what an engine does with them is the same.

Run by its path, as ``mobilevit_deploy.sweep.worker`` is run by its name.
"""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import ConversionError, OutputError
from mobilevit_deploy.sweep.worker import serve
from mobilevit_deploy.system import side_by_side

WORKER = (sys.executable, "-P", __file__)
LARGE = 200_000  # bytes of an artifact: several writes
PARITY = {"gate": "parity", "status": "passed", "found": "", "limit": "", "reason": ""}


def make(check: Mapping[str, Any], code: Path | str, folder: Path, **_more: Any) -> dict[str, Any]:
    """Sleeps, fails as ``model_args`` say, and writes an artifact that depends on the cell's name alone."""
    told, name, start = check["model_args"], check["model"].partition(":")[2], time.monotonic()
    begun = Path(code) / "begun"
    begun.mkdir(exist_ok=True)
    with (begun / name).open("a") as file:
        file.write(f"{os.getpid()}\n")
    attempts = len((begun / name).read_text().splitlines())
    print("simulated", flush=True)
    time.sleep(told.get("seconds", 0))
    if "beside" in told:
        _wait_for(begun / told["beside"])
    if "spans" in told:
        (Path(code) / f"{name}.span").write_text(f"{start} {time.monotonic()}")
    if attempts <= told.get("failing", 0):
        _fail(told["how"])
    content = content_of(check["model"])
    (folder / "net.onnx").write_bytes(content)
    package = folder / "net.mlpackage"
    package.mkdir()
    for name in ("one", "two"):
        (package / name).write_bytes(content)
    return {
        "status": "done",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parity": "passed",
        "snr_db": 90.0,
        "accuracy": {"metric": "top-1", "artifact": 0.5, "pytorch": 0.5, "images": 2},
        "latency": {"p50": 2.0, "low": 1.9, "high": 2.1, "device": "none", "threads": 1, "stable": True},
        "artifact": "net.onnx",
        "gates": [PARITY],
    }


def _wait_for(path: Path) -> None:
    """Waits for another cell to begin, for a minute: it does where it runs beside this one."""
    end = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > end:
            raise ConversionError(f"{path.name} was not begun beside this cell")
        time.sleep(0.01)


def content_of(model: str) -> bytes:
    """Returns the artifact of a cell."""
    return hashlib.sha256(model.encode()).digest() * (LARGE // 32)


def _fail(how: str) -> None:
    if how == "abort":
        os.abort()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "kill worker":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if how == "hang":
        time.sleep(600)
    if how == "convert":
        raise ConversionError("the converter refused", "try another")
    if how == "full":
        raise OutputError("cannot write: No space left on device")
    raise ValueError(how)


if __name__ == "__main__":
    side_by_side.CAN_FORK &= "MVD_TEST_WITHOUT_FORK" not in os.environ
    serve(make)
