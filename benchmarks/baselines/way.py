"""What a way from a PyTorch model to a latency consists of, and the list of those there are."""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import benchmarks.baselines.ways
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.measurement.latency.process import ONNX_RUNTIME
from mobilevit_deploy.system.environment import installed_version

ALLOWED = 1e-3  # float32 leaves 1e-6 of the largest output, ncnn's fast convolutions 5e-4


class Build(Protocol):
    """Writes what a way runs."""

    def __call__(self, model: LoadedModel, folder: Path) -> Path:
        """Returns the file in the folder; any exception is the way's failure on this model."""


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        name: of the module, for ``pages.toml`` and the command line.
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

    @property
    def installed(self) -> bool:
        """Tells whether what it needs is there."""
        return all(installed_version(package) for package in self.needs)


def all_ways() -> dict[str, Way]:
    """Returns every way in the folder ``ways`` by its name."""
    names = [item.name for item in pkgutil.iter_modules(benchmarks.baselines.ways.__path__)]
    return {name: _way(name, importlib.import_module(f"benchmarks.baselines.ways.{name}")) for name in names}


def _way(name: str, module: ModuleType) -> Way:
    attributes: dict[str, Any] = vars(module)
    return Way(
        name=name,
        title=attributes["TITLE"],
        about=attributes["ABOUT"],
        needs=attributes.get("NEEDS", ()),
        build=attributes["build"],
        worker=module.__name__ if "load" in attributes else ONNX_RUNTIME,
        allowed=attributes.get("ALLOWED", ALLOWED),
    )
