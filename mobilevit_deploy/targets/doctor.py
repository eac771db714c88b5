"""What works on this machine, and why the rest does not."""

import shutil
import sys
from dataclasses import asdict, dataclass
from typing import Any

from mobilevit_deploy.catalog.cards import TargetFormat
from mobilevit_deploy.catalog.formats import formats, tool_versions
from mobilevit_deploy.system.environment import pip_command


@dataclass(frozen=True)
class Ability:
    """One thing that mvd can do here, or why it cannot."""

    name: str
    works: bool
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """Versions and abilities."""

    versions: dict[str, str | None]
    abilities: tuple[Ability, ...]

    def document(self) -> dict[str, Any]:
        """Returns the diagnosis as JSON takes it."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Looks at what is installed and at the operating system; imports none of the heavy packages."""
    versions = tool_versions()
    return Diagnosis(
        versions,
        (
            *(_converts(known, versions) for known in formats().values()),
            _needs("compress Core ML to 4 and 6 bits", versions, "scikit-learn"),
            _measure_coreml("measure Core ML on this machine"),
            _measure_coreml("measure Core ML on an attached iPhone", "xcrun", "xcodebuild"),
            _measure_android(),
        ),
    )


def _converts(known: TargetFormat, versions: dict[str, str | None]) -> Ability:
    what = "export, verify and measure" if known.worker else "export and verify"
    return _needs(f"{what} {known.title}", versions, "torch", *known.packages, extra=known.extra)


def _needs(name: str, versions: dict[str, str | None], *packages: str, extra: str | None = None) -> Ability:
    missing = [package for package in packages if versions[package] is None]
    if missing:
        return Ability(name, False, f"not installed: {', '.join(missing)}; {pip_command(missing, extra)}")
    return Ability(name, True, ", ".join(f"{package} {versions[package]}" for package in packages))


def _measure_coreml(name: str, *programs: str) -> Ability:
    if sys.platform != "darwin":
        return Ability(
            name, False, f"on a Mac only{', with Xcode and the iPhone (docs/how-to/iphone.md)' if programs else ''}"
        )
    if missing := [program for program in programs if shutil.which(program) is None]:
        return Ability(name, False, f"not found: {', '.join(missing)}; install Xcode from the App Store")
    return Ability(name, True, "mvd devices shows the iPhones and what stands in the way of each" if programs else "")


def _measure_android() -> Ability:
    name = "measure .tflite files on an attached Android phone"
    found = shutil.which("adb")
    if found is None:
        return Ability(name, False, "not found: adb; Debian and Google have it (docs/how-to/android.md)")
    return Ability(name, True, f"{found}; mvd devices shows the phones and what stands in the way of each")
