"""What other installed packages add, through entry points: targets, rewrites, sources of models, devices.

An entry point is a line in a package's metadata that pip writes when it is installed, so what is added comes from
packages that a user installed, never from a file that mvd was given.
Source: https://packaging.python.org/en/latest/specifications/entry-points/
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import MvdError

TARGETS = "mobilevit_deploy.targets"  # a package with ``convert``, ``runner`` and a ``recipe.toml``
REWRITES = "mobilevit_deploy.rewrites"  # a subclass of ``Rewrite``
MODELS = "mobilevit_deploy.models"  # a function from a name to an ``nn.Module``
DEVICES = "mobilevit_deploy.devices"  # a package with cards, ``<name>.toml``


@cache
def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Returns the entry points of a group by name, in the order of their names."""
    found = entry_points(group=group)
    return {name: found[name] for name in sorted(found.names)}


def load(plugin: EntryPoint) -> Any:
    """Returns what an entry point names; raises MvdError when it cannot be imported."""
    try:
        return plugin.load()
    except Exception as error:  # another package's code may raise anything
        raise broken(plugin, f"{type(error).__name__}: {error}") from error


def folder_of(plugin: EntryPoint) -> Path:
    """Returns the folder of the package that an entry point names, which is not imported; raises MvdError."""
    try:
        spec = find_spec(plugin.value)
    except Exception as error:  # the package around it is imported
        raise broken(plugin, f"{type(error).__name__}: {error}") from error
    if spec is None or not spec.submodule_search_locations:
        raise broken(plugin, f"there is no package {plugin.value}")
    return Path(spec.submodule_search_locations[0])


def broken(plugin: EntryPoint, why: str) -> MvdError:
    """Returns the error that names the package that an entry point comes from, and the way out."""
    package = plugin.dist.name if plugin.dist else plugin.value
    return MvdError(
        f"{plugin.name}, which {package} adds to {plugin.group}, cannot be used: {why}",
        f"update {package}, or pip uninstall it",
    )
