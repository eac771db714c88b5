"""Packages that are to run on one of Apple's devices, checked before anything is built."""

from pathlib import Path

from mobilevit_deploy.apple.place import Place
from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.targets.coreml.mil.package import Package

SUFFIX = ".mlpackage"


def open_package(path: Path) -> Package:
    """Returns a package, read; raises MeasurementError when there is none, ArtifactError when it is damaged."""
    if not path.exists():
        raise MeasurementError(f"there is no file {path}", "mvd export --to coreml makes one")
    if path.suffix != SUFFIX:
        raise MeasurementError(f"{path} is no {SUFFIX}", f"Core ML runs {SUFFIX} packages; mvd export --to coreml")
    return Package(path)


def check_package(path: Path, place: Place) -> None:
    """Raises MeasurementError when there is no package or the place cannot run it, ArtifactError when it is damaged."""
    place.check(path.name, open_package(path).model)
