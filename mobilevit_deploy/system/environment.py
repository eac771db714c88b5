"""What produced a figure or a file: versions of the tools, and the cores that they ran on."""

import math
import os
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from mobilevit_deploy.errors import UsageError

MOST_THREADS = 64  # where there are few cores


def installed_version(package: str) -> str | None:
    """Returns the version of an installed package; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def pip_command(packages: Sequence[str], extra: str | None = None) -> str:
    """Returns what brings packages, in the versions that this package asks for, or an extra of it."""
    wanted = []
    for line in metadata.requires("mobilevit-deploy") or ():
        requirement, _, condition = line.partition(";")
        asked = f'extra == "{extra}"' in condition.replace("'", '"') if extra else "extra" not in condition
        if asked and re.split(r"[^\w-]", requirement)[0] in packages:
            wanted.append(f"'{requirement.strip()}'")
    return f"pip install {' '.join(wanted or packages)}"


def count_threads(threads: int) -> str:
    """Returns a number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def available_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_threads(wanted: int | None) -> int:
    """Returns how many threads a run takes: as many as there are cores for None.

    Raises:
        UsageError: none, or so many that they only wait for each other; a thousand on two cores do not end.
    """
    cores = available_cores()
    most = max(MOST_THREADS, 4 * cores)
    if wanted is not None and not 1 <= wanted <= most:
        raise UsageError(f"{wanted} threads on {cores} cores cannot be measured", f"give --threads 1 to {most}")
    return wanted or cores


def check_seconds(seconds: float) -> None:
    """Raises UsageError for no time at all."""
    if not 0 < seconds < math.inf:
        raise UsageError(f"{seconds:g} seconds is no time to measure in", "give --seconds more than 0")


def cpu_name() -> str:
    """Returns what the processor is called; on Linux from the kernel, elsewhere from the system."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
