"""The formats that a graph is converted to; one file each, imported when it is used."""

import importlib
from typing import Protocol, cast

from mobilevit_deploy.artifact import Artifact, ConversionRequest
from mobilevit_deploy.errors import CatalogError

TARGETS = ("onnx", "coreml")


class Target(Protocol):
    """What a file in this folder provides at its top level.

    ``SUFFIX`` of the artifact's name, ``VERSION_NAME`` (what ``ConversionRequest.version`` counts) and the option that
    sets it, ``TAKES_APP_OPTIONS`` (whether image input, labels, float32 modules and compression are written), and
    ``convert``, which writes the artifact and raises ConversionError when the converter refuses the graph.
    """

    SUFFIX: str
    VERSION_NAME: str
    VERSION_OPTION: str
    TAKES_APP_OPTIONS: bool

    def convert(self, request: ConversionRequest) -> Artifact:
        """Writes the artifact."""


def target(name: str) -> Target:
    """Returns a target by name; raises CatalogError when there is none."""
    if name not in TARGETS:
        raise CatalogError(f"there is no target {name!r}", f"the targets are: {', '.join(TARGETS)}")
    return cast(Target, importlib.import_module(f"mobilevit_deploy.targets.{name}"))
