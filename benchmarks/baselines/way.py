"""What a way from a PyTorch model to a latency consists of, and the list of those there are."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import benchmarks.baselines.ways
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.measurement.latency.process import ONNX_RUNTIME

ALLOWED = 1e-3  # float32 leaves 1e-6 of the largest output, ncnn's fast convolutions 5e-4


class Build(Protocol):
    """Writes what a way runs."""

    def __call__(self, model: LoadedModel, folder: Path) -> Path:
        """Returns the file in the folder; any exception is the way's failure on this model."""


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        name: of the module, for the command line.
        title: in tables.
        about: how it was built and run, one line.
        needs: packages beyond mvd's own; the way is left out where one is missing.
        build: writes the file.
        worker: module that runs it, as ``mvd latency`` runs ONNX files.
        allowed: largest difference from PyTorch over the largest output; what differs by more is no competitor.
    """

    name: str
    title: str
    about: str
    needs: tuple[str, ...]
    build: Build
    worker: str
    allowed: float

    def versions(self) -> Mapping[str, str] | None:
        """Returns the versions of what it needs; None when something is not installed."""
        try:
            return {package: version(package) for package in self.needs}
        except PackageNotFoundError:
            return None


def all_ways() -> list[Way]:
    """Returns every way in the folder ``ways``, in the order in which tables show them."""
    names = [item.name for item in pkgutil.iter_modules(benchmarks.baselines.ways.__path__)]
    modules = [importlib.import_module(f"benchmarks.baselines.ways.{name}") for name in names]
    return [_way(module) for module in sorted(modules, key=lambda module: module.ORDER)]


def _way(module: ModuleType) -> Way:
    attributes: dict[str, Any] = vars(module)
    return Way(
        name=module.__name__.rpartition(".")[2],
        title=attributes["TITLE"],
        about=attributes["ABOUT"],
        needs=attributes.get("NEEDS", ()),
        build=attributes["build"],
        worker=module.__name__ if "load" in attributes else ONNX_RUNTIME,
        allowed=attributes.get("ALLOWED", ALLOWED),
    )
