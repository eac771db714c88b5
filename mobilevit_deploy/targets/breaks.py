"""What is commonly broken in an installation, each with the command that mends it."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mobilevit_deploy.system.child_process import run_tool
from mobilevit_deploy.system.environment import pip_command
from mobilevit_deploy.system.hardware import Machine

# What coremltools has beside its Python: the first writes the weights of a package, the second runs Core ML on a Mac.
# pip installs it without them where there is no wheel for this Python.
WRITES_WEIGHTS, RUNS_COREML = "libmilstoragepython", "libcoremlpython"
TOGETHER = "import numpy, torch; torch.from_numpy(numpy.zeros(1)).numpy()"
IMPORT_LIMIT_S = 120
SMALL_DISK = 2 * 2**30  # bytes; the largest exports keep some copies of a model while they run
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Break:
    """One thing that is broken here.

    Attributes:
        name: what it is about.
        detail: what was found, and what it costs.
        command: that mends it.
    """

    name: str
    detail: str
    command: str


def find_breaks(versions: Mapping[str, str | None], machine: Machine) -> tuple[Break, ...]:
    """Returns what is broken; heavy packages are imported in a process of their own.

    Args:
        versions: of the packages; None for one that is not installed.
        machine: that this is.
    """
    found: list[Break | None] = []
    if versions.get("torch"):
        found += [torch_and_numpy(), unused_cuda(str(versions["torch"]), _package("torch"), gpu=_has_gpu())]
    if versions.get("coremltools"):
        found.append(native_coremltools(_package("coremltools"), sys.platform))
    if sys.platform == "darwin":
        found.append(chosen_xcode())
    found.append(small_disk(machine))
    return tuple(item for item in found if item)


def torch_and_numpy(code: str = TOGETHER) -> Break | None:
    """Tells whether PyTorch can be imported, and takes NumPy's arrays: each is built for some versions of the other."""
    if "torch" in sys.modules and code == TOGETHER:
        return None  # it is imported already, by a program that uses this function
    try:
        done = run_tool([sys.executable, "-P", "-W", "ignore", "-c", code], IMPORT_LIMIT_S)
        reason = "" if done.returncode == 0 else _last_line(done.stderr) or f"Python ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"importing them takes longer than {IMPORT_LIMIT_S} s"
    if not reason:
        return None
    command = f"{pip_command(['torch', 'numpy'])} --force-reinstall"
    return Break("PyTorch and NumPy", f"they do not work together: {reason}", command)


def unused_cuda(version: str, folder: Path | None, *, gpu: bool) -> Break | None:
    """Tells whether PyTorch brought CUDA to a machine without a GPU that runs it; mvd computes on the CPU.

    Args:
        version: of PyTorch.
        folder: that it is installed in.
        gpu: whether there is one.
    """
    if gpu or folder is None or not any((folder / "lib").glob("*torch_cuda.*")):
        return None
    parts = (folder / "lib", folder.parent / "nvidia", folder.parent / "triton")
    files = [file for part in parts for file in part.rglob("*") if file.is_file() and not file.is_symlink()]
    size = sum(file.stat().st_size for file in files)
    return Break(
        "PyTorch for CUDA",
        f"its libraries take {size / 2**30:.1f} GB, and no GPU of NVIDIA's is here to run them",
        f"pip install --force-reinstall torch=={version.partition('+')[0]} --index-url {CPU_WHEELS}",
    )


def native_coremltools(folder: Path | None, system: str) -> Break | None:
    """Tells whether coremltools lacks its native part.

    Args:
        folder: that it is installed in.
        system: as ``sys.platform`` calls it.
    """
    wanted = (WRITES_WEIGHTS, RUNS_COREML) if system == "darwin" else (WRITES_WEIGHTS,)
    missing = [name for name in wanted if folder is not None and not any(folder.glob(f"{name}*"))]
    if not missing:
        return None
    python = ".".join(map(str, sys.version_info[:2]))
    return Break(
        "coremltools",
        f"it was installed without its native part ({', '.join(missing)}): there may be no wheel for Python {python}",
        f"{pip_command(['coremltools'])} --force-reinstall --no-cache-dir --only-binary coremltools",
    )


def chosen_xcode() -> Break | None:
    """Tells whether a Mac's tools are those of the command line alone, which build no app for an iPhone."""
    try:
        chosen = run_tool(["xcode-select", "--print-path"], IMPORT_LIMIT_S).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        chosen = ""
    if chosen and not chosen.endswith("CommandLineTools"):
        return None
    return Break(
        "Xcode",
        "no Xcode is chosen: an iPhone cannot be measured, and Core ML on this Mac has no compute plans",
        "install Xcode from the App Store, then sudo xcode-select --switch /Applications/Xcode.app",
    )


def small_disk(machine: Machine) -> Break | None:
    """Tells whether there is little room for the files of an export."""
    free = {"the current folder": machine.disk_free, "the folder of temporary files": machine.temporary_free}
    known = {where: size for where, size in free.items() if size is not None}
    small = [f"{size / 2**30:.1f} GB in {where}" for where, size in known.items() if size < SMALL_DISK]
    if not small:
        return None
    return Break(
        "disk",
        f"little is free: {' and '.join(small)}",
        "export TMPDIR=/path/on/a/larger/disk MVD_CACHE=/path/on/a/larger/disk/mvd",
    )


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def _package(name: str) -> Path | None:
    """Returns the folder of a package, which is not imported for it."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
