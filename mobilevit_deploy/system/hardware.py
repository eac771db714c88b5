"""The machine as a report of a bug or of a latency needs it: what runs here, its processor, memory and disk."""

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.system.child_process import run_tool
from mobilevit_deploy.system.environment import available_cores, cpu_name

CPUINFO = Path("/proc/cpuinfo")
# Instructions that decide how fast a file is, int8 above all: as Linux calls them, and below as Apple's sysctl does.
FEATURES = {
    "avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX-512", "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI", "avx512_bf16": "AVX-512 bf16", "avx512_fp16": "AVX-512 fp16",
    "amx_int8": "AMX int8", "amx_bf16": "AMX bf16",
    "asimd": "NEON", "asimdhp": "NEON fp16", "asimddp": "NEON dot product", "i8mm": "NEON i8mm", "bf16": "NEON bf16",
    "sve": "SVE", "sme": "SME",
}  # fmt: skip
APPLE = {
    "AdvSIMD": "asimd", "FEAT_FP16": "asimdhp", "FEAT_DotProd": "asimddp", "FEAT_I8MM": "i8mm", "FEAT_BF16": "bf16",
    "FEAT_SME": "sme", "avx2_0": "avx2", "avx512f": "avx512f",
}  # fmt: skip
SYSCTL_LIMIT_S = 10


@dataclass(frozen=True)
class Machine:
    """Sizes are in bytes.

    Attributes:
        system: its name and version.
        architecture: of the processor.
        processor: its name.
        features: instructions that it has, of those that matter here; None where the system does not tell.
        cores: that this process may use.
        memory: in all.
        memory_available: without swapping.
        disk_free: where the current folder lies.
        temporary_free: where temporary files lie, which an export needs for as long as it runs.
    """

    system: str
    architecture: str
    processor: str
    features: tuple[str, ...] | None
    cores: int
    memory: int
    memory_available: int
    disk_free: int | None
    temporary_free: int | None


def describe_machine(temporary: Path) -> Machine:
    """Looks at this machine.

    Args:
        temporary: the folder of temporary files.
    """
    import psutil

    memory = psutil.virtual_memory()
    return Machine(
        system=platform.platform(),
        architecture=platform.machine(),
        processor=cpu_name(),
        features=cpu_features(),
        cores=available_cores(),
        memory=memory.total,
        memory_available=memory.available,
        disk_free=_free(Path()),
        temporary_free=_free(temporary),
    )


def machine() -> dict[str, Any]:
    """Returns the machine as a latency depends on it.

    ``cpu_features`` is null where the system does not tell; ``busy_percent`` is the share of all cores in use during
    0.3 s; load averages are over 1, 5 and 15 minutes.
    """
    import psutil

    features = cpu_features()
    return {
        "cpu": cpu_name(),
        "cpu_features": None if features is None else list(features),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_available": available_cores(),
        "busy_percent": psutil.cpu_percent(interval=0.3),
        "load_average": [round(value, 2) for value in psutil.getloadavg()],
        "memory_total_mb": round(psutil.virtual_memory().total / 2**20),
        "os": platform.platform(),
    }


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # a folder that was removed meanwhile
        return None


def cpu_features() -> tuple[str, ...] | None:
    """Returns the instructions of this machine's processor that matter here; None where the system does not tell."""
    try:
        return features_of_linux(CPUINFO.read_text(encoding="utf-8"))
    except OSError:
        pass  # not Linux
    try:
        return features_of_apple(run_tool(["sysctl", "hw.optional"], SYSCTL_LIMIT_S).stdout)
    except (OSError, subprocess.TimeoutExpired):
        return None


def features_of_linux(cpuinfo: str) -> tuple[str, ...] | None:
    """Returns what ``/proc/cpuinfo`` says; x86 calls the line flags, Arm Features."""
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return _named(set(line[1].split())) if line else None


def features_of_apple(sysctl: str) -> tuple[str, ...] | None:
    """Returns what ``sysctl hw.optional`` says: a line ``hw.optional.arm.FEAT_I8MM: 1`` for each."""
    found = {match[1] for match in re.finditer(r"^hw\.optional\.(?:arm\.)?(\w+): 1$", sysctl, re.MULTILINE)}
    return _named({APPLE[name] for name in found & APPLE.keys()}) if found else None


def _named(flags: set[str]) -> tuple[str, ...]:
    return tuple(name for flag, name in FEATURES.items() if flag in flags)
