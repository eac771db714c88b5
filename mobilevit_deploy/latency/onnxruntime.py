"""Latency in ONNX Runtime's CPU provider, on this machine."""

import json
import subprocess
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.workers import CHILD

SUFFIX = ".onnx"
GRACE_S = 120  # for loading and for the last run, beyond the time that was asked for


def time_artifact(path: Path, threads: int, seconds: float) -> dict[str, Any]:
    """Runs one artifact in a fresh process; returns the worker's answer (see ``workers/time_onnx.py``).

    Raises:
        MeasurementError: the process failed or hung.
    """
    request = json.dumps({"path": str(path.resolve()), "threads": threads, "seconds": seconds})
    command = [*CHILD, "mobilevit_deploy.workers.time_onnx"]
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, text=True, timeout=3 * seconds + GRACE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{path.name} did not finish within {error.timeout:.0f} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        raise MeasurementError(f"{path.name} cannot be measured: {last[0]}", "mvd inspect tells what the file holds")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
