"""The formats that a graph is converted to; one file each, imported when it is used.

What is known of a format without its converter stands in the recipe that has its name (see ``formats``).
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.formats import check_packages, format_of, target_of

if TYPE_CHECKING:
    from mobilevit_deploy.artifact import Artifact, ConversionRequest, FileDescription
    from mobilevit_deploy.inspection.operations import Operation


class Target(Protocol):
    """What a file in this folder provides at its top level."""

    def convert(self, request: "ConversionRequest") -> "Artifact":
        """Writes the artifact; raises ConversionError when the converter refuses the graph."""

    def combine(
        self, artifacts: "Mapping[str, Artifact]", metadata: Mapping[str, str], path: Path, version: int
    ) -> "Artifact":
        """Writes one artifact with several functions; only where a recipe has ``functions_minimum``."""

    def describe(self, path: Path) -> "FileDescription":
        """Reads an artifact's names, shapes and metadata; raises ArtifactError when it is damaged."""

    def read_operations(self, path: Path) -> "list[Operation]":
        """Reads an artifact's operations, constants left out; raises ArtifactError when it is damaged."""


def target(name: str) -> Target:
    """Returns a target by name.

    Raises:
        CatalogError: there is none.
        MvdError: the packages that it needs are not installed.
    """
    check_packages(format_of(name))
    return cast(Target, importlib.import_module(f"mobilevit_deploy.targets.{name}"))


def describe_file(path: Path) -> "FileDescription":
    """Reads what an artifact says of itself, by the target that its name ends in; raises ArtifactError."""
    name = target_of(path)
    if not path.exists():
        raise ArtifactError(f"there is no artifact {path}", "mvd export writes one")
    return target(name).describe(path)
