"""What works on this machine, and why the rest does not."""

import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilevit_deploy.catalog.cards import TargetFormat
from mobilevit_deploy.catalog.formats import formats, tool_versions
from mobilevit_deploy.system.environment import pip_command
from mobilevit_deploy.system.hardware import Machine, describe_machine
from mobilevit_deploy.targets.breaks import Break, find_breaks


@dataclass(frozen=True)
class Ability:
    """One thing that mvd can do here, or why it cannot, with the command that would mend it, if there is one."""

    name: str
    works: bool
    detail: str
    command: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The machine, versions, abilities, and what is broken."""

    machine: Machine
    versions: dict[str, str | None]
    abilities: tuple[Ability, ...]
    breaks: tuple[Break, ...]

    def document(self) -> dict[str, Any]:
        """Returns the diagnosis as JSON takes it."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Looks at what is installed and at the system; heavy packages are imported in another process, if at all."""
    versions, machine = tool_versions(), describe_machine(Path(tempfile.gettempdir()))
    return Diagnosis(
        machine,
        versions,
        (
            *(_converts(known, versions) for known in formats().values()),
            _needs("compress Core ML to 4 and 6 bits", versions, "scikit-learn"),
            _measure_coreml("measure Core ML on this machine"),
            _measure_coreml("measure Core ML on an attached iPhone", "xcrun", "xcodebuild"),
            _measure_android(),
        ),
        find_breaks(versions, machine),
    )


def _converts(known: TargetFormat, versions: dict[str, str | None]) -> Ability:
    what = "export, verify and measure" if known.worker else "export and verify"
    return _needs(f"{what} {known.title}", versions, "torch", *known.packages, extra=known.extra)


def _needs(name: str, versions: dict[str, str | None], *packages: str, extra: str | None = None) -> Ability:
    missing = [package for package in packages if versions[package] is None]
    if missing:
        return Ability(name, False, f"not installed: {', '.join(missing)}", pip_command(missing, extra))
    return Ability(name, True, ", ".join(f"{package} {versions[package]}" for package in packages))


def _measure_coreml(name: str, *programs: str) -> Ability:
    if sys.platform != "darwin":
        return Ability(
            name, False, f"on a Mac only{', with Xcode and the iPhone (docs/how-to/iphone.md)' if programs else ''}"
        )
    if missing := [program for program in programs if shutil.which(program) is None]:
        return Ability(name, False, f"not found: {', '.join(missing)}", "install Xcode from the App Store")
    return Ability(name, True, "mvd devices shows the iPhones and what stands in the way of each" if programs else "")


def _measure_android() -> Ability:
    name = "measure .tflite files on an attached Android phone"
    found = shutil.which("adb")
    if found is None:
        command = "brew install --cask android-platform-tools" if sys.platform == "darwin" else "sudo apt install adb"
        return Ability(name, False, "not found: adb (docs/how-to/android.md)", command)
    return Ability(name, True, f"{found}; mvd devices shows the phones and what stands in the way of each")
