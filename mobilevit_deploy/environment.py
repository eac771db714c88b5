"""What produced a figure or a file: versions of the tools, and the machine."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

# Beside those of the targets.
PACKAGES = ("mobilevit-deploy", "torch", "numpy", "scikit-learn")


def tool_versions() -> dict[str, str | None]:
    """Returns the versions of Python and of every package that takes part in an export; None where absent."""
    from mobilevit_deploy.formats import formats

    names = [*PACKAGES, *(package for known in formats().values() for package in known.packages)]
    versions = {name: installed_version(name) for name in dict.fromkeys(names)}
    return {"python": platform.python_version(), **versions}


def installed_version(package: str) -> str | None:
    """Returns the version of an installed package; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def available_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Returns the machine as a latency depends on it.

    ``busy_percent`` is the share of all cores in use during 0.3 s; load averages are over 1, 5 and 15 minutes.
    """
    import psutil

    return {
        "cpu": _cpu_name(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_available": available_cores(),
        "busy_percent": psutil.cpu_percent(interval=0.3),
        "load_average": [round(value, 2) for value in psutil.getloadavg()],
        "memory_total_mb": round(psutil.virtual_memory().total / 2**20),
        "os": platform.platform(),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
