"""The formats that a graph is converted to; one file each, imported when it is used."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from mobilevit_deploy.artifact import Artifact, ConversionRequest, FileDescription
from mobilevit_deploy.errors import ArtifactError, CatalogError

TARGETS = ("onnx", "coreml")


class Target(Protocol):
    """What a file in this folder provides at its top level.

    ``SUFFIX`` of the artifact's name, ``VERSION_NAME`` (what ``ConversionRequest.version`` counts) and the option that
    sets it, ``TAKES_APP_OPTIONS`` (whether image input, labels, float32 modules and compression are written), and
    ``convert``, which writes the artifact and raises ConversionError when the converter refuses the graph, and
    ``describe``, which reads what an artifact says of itself and raises ArtifactError when it is damaged.
    """

    SUFFIX: str
    VERSION_NAME: str
    VERSION_OPTION: str
    TAKES_APP_OPTIONS: bool

    def convert(self, request: ConversionRequest) -> Artifact:
        """Writes the artifact."""

    def combine(
        self, artifacts: Mapping[str, Artifact], metadata: Mapping[str, str], path: Path, version: int
    ) -> Artifact:
        """Writes one artifact with several functions; only where a recipe has ``functions_minimum``."""

    def describe(self, path: Path) -> FileDescription:
        """Reads an artifact's names, shapes and metadata."""


def target(name: str) -> Target:
    """Returns a target by name; raises CatalogError when there is none."""
    if name not in TARGETS:
        raise CatalogError(f"there is no target {name!r}", f"the targets are: {', '.join(TARGETS)}")
    return cast(Target, importlib.import_module(f"mobilevit_deploy.targets.{name}"))


def describe_file(path: Path) -> FileDescription:
    """Reads what an artifact says of itself, by the target that its name ends in; raises ArtifactError."""
    targets = {target(name).SUFFIX: target(name) for name in TARGETS}
    if path.suffix not in targets:
        raise ArtifactError(f"{path} is no artifact", f"give a path that ends in {' or '.join(targets)}")
    if not path.exists():
        raise ArtifactError(f"there is no artifact {path}", "mvd export writes one")
    return targets[path.suffix].describe(path)
