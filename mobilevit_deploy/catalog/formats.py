"""What is known of every target without importing its converter, from the recipe that has the target's name."""

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.cards import TargetFormat
from mobilevit_deploy.errors import ArtifactError, ChoiceError, MvdError, UsageError
from mobilevit_deploy.system.environment import installed_version, pip_command

PACKAGES = ("mobilevit-deploy", "torch", "numpy", "scikit-learn")  # beside those of the targets


@cache
def formats() -> Mapping[str, TargetFormat]:
    """Returns every target's format by the target's name."""
    return {recipe.target: recipe.format for recipe in catalog.recipes().values() if recipe.format}


def format_of(target: str) -> TargetFormat:
    """Returns a target's format; raises ChoiceError when there is no such target."""
    if target not in formats():
        raise ChoiceError(f"there is no target {target!r}", f"the targets are: {', '.join(formats())}")
    return formats()[target]


def installed_targets() -> list[str]:
    """Returns the targets whose packages are all installed."""
    return [name for name, known in formats().items() if not missing_packages(known)]


def default_targets(*, several_inputs: bool = False) -> list[str]:
    """Returns the targets that an export writes where none is named: those of ``installed_targets`` that are so noted.

    Args:
        several_inputs: leave out those whose files take one image only.
    """
    known = formats()
    return [
        name
        for name in installed_targets()
        if known[name].by_default and (known[name].takes_several_inputs or not several_inputs)
    ]


def missing_packages(known: TargetFormat) -> list[str]:
    """Returns what a target needs and is not installed."""
    return [package for package in known.packages if installed_version(package) is None]


def check_packages(known: TargetFormat) -> None:
    """Raises MvdError, with the command that brings them, when packages of a target are not installed."""
    if missing := missing_packages(known):
        what = f"{known.title} needs {' and '.join(missing)}, not installed here"
        raise MvdError(what, pip_command(missing, known.extra))


def target_of_file(path: Path) -> str:
    """Returns the target of an artifact that is there; raises ArtifactError for another suffix, or where nothing is."""
    target = target_of(path)
    if not path.exists():
        raise ArtifactError(f"there is no artifact {path}", "mvd export writes one")
    return target


def target_of(path: Path) -> str:
    """Returns the target that an artifact's name tells; raises ArtifactError for no artifact's name."""
    for name, known in formats().items():
        if path.suffix == known.suffix:
            return name
    suffixes = [known.suffix for known in formats().values()]
    raise ArtifactError(f"{path} is no artifact", f"give a path that ends in {' or '.join(suffixes)}")


def target_run_by(backend: str) -> str:
    """Returns the target whose artifacts a backend runs; raises UsageError for no backend."""
    found = {known.backend: name for name, known in formats().items()}
    if backend not in found:
        raise UsageError(f"there is no backend {backend!r}", f"give --backend {' or '.join(found)}")
    return found[backend]


def runtime_of(backend: str) -> str:
    """Returns the package that a backend is, whose version ``tool_versions`` has."""
    known = next((known for known in formats().values() if known.backend == backend), None)
    return (known and known.runtime) or backend


def tool_versions() -> dict[str, str | None]:
    """Returns the versions of Python and of every package that takes part in an export; None where absent."""
    names = [*PACKAGES, *(package for known in formats().values() for package in known.packages)]
    versions = {name: installed_version(name) for name in dict.fromkeys(names)}
    return {"python": platform.python_version(), **versions}
