"""What works on this machine, and why the rest does not."""

import shutil
import sys
from dataclasses import asdict, dataclass
from typing import Any

from mobilevit_deploy.environment import tool_versions


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
            _needs("export to ONNX", versions, "torch", "onnx", "onnxscript", "onnxsim"),
            _needs("verify and measure ONNX", versions, "onnxruntime"),
            _needs("export to Core ML", versions, "torch", "coremltools"),
            _needs("compress Core ML to 4 and 6 bits", versions, "scikit-learn"),
            _needs("verify Core ML packages", versions, "coremltools"),
            _measure_coreml("measure Core ML on this machine"),
            _measure_coreml("measure Core ML on an attached iPhone", "xcrun", "xcodebuild"),
        ),
    )


def _needs(name: str, versions: dict[str, str | None], *packages: str) -> Ability:
    missing = [package for package in packages if versions[package] is None]
    if missing:
        return Ability(name, False, f"not installed: {', '.join(missing)}; pip install {' '.join(missing)}")
    return Ability(name, True, ", ".join(f"{package} {versions[package]}" for package in packages))


def _measure_coreml(name: str, *programs: str) -> Ability:
    if sys.platform != "darwin":
        return Ability(name, False, "needs a Mac with Xcode, and for an iPhone's latency the iPhone")
    if missing := [program for program in programs if shutil.which(program) is None]:
        return Ability(name, False, f"not found: {', '.join(missing)}; install Xcode from the App Store")
    return Ability(name, True, "mvd devices shows the iPhones and what stands in the way of each" if programs else "")
