"""The targets by name: a package of this folder each, or of another distribution, imported when it is used.

What is known of a target without its converter stands in the recipe that has its name (see ``catalog.formats``). Its
package has ``convert.py`` (``Converter``), ``runner.py`` (``TargetRunner``), and perhaps ``rules.py`` (``RULES``, for
``mvd inspect``), ``lowering.py`` (``takes``, for the rewrite of what it does not take) and the worker that its recipe
names. ``docs/add-a-target.md`` goes through one.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, cast

from mobilevit_deploy.catalog.formats import check_packages, format_of, target_of, target_of_file
from mobilevit_deploy.rewrites.compatibility.decompose_unsupported import Takes, takes_all
from mobilevit_deploy.runners.base import Array, NotMeasured, Observed, Opener, Reading
from mobilevit_deploy.system import plugins

if TYPE_CHECKING:
    from mobilevit_deploy.targets.artifact import Artifact, ConversionRequest, FileDescription
    from mobilevit_deploy.targets.contents import Contents
    from mobilevit_deploy.targets.operations import Operation
    from mobilevit_deploy.targets.rules import Rule


class Converter(Protocol):
    """What ``convert.py`` of a target's package provides."""

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


def package_of(name: str) -> str:
    """Returns a target's package by its dotted name."""
    added = plugins.plugins(plugins.TARGETS).get(name)
    return added.value if added else f"mobilevit_deploy.targets.{name}"


def target(name: str) -> Converter:
    """Returns a target's converter.

    Raises:
        CatalogError: there is none.
        MvdError: the packages that it needs are not installed.
    """
    check_packages(format_of(name))
    return cast(Converter, _import(name, "convert"))


def rules_of(name: str) -> "tuple[Rule, ...]":
    """Returns what a target is known to dislike; nothing for one that has no ``rules.py``."""
    if find_spec(f"{package_of(name)}.rules") is None:
        return ()
    rules: tuple[Rule, ...] = _import(name, "rules").RULES
    return rules


def takes_of(name: str) -> Takes:
    """Returns what tells whether a target's converter takes a call of ATen; without a ``lowering.py`` it takes all."""
    if find_spec(f"{package_of(name)}.lowering") is None:
        return takes_all
    takes: Takes = _import(name, "lowering").takes
    return takes


def _import(name: str, part: str) -> ModuleType:
    """Imports a module of a target's package; raises MvdError for one of another distribution that fails."""
    added = plugins.plugins(plugins.TARGETS).get(name)
    if added:
        plugins.load(added)
    return importlib.import_module(f"{package_of(name)}.{part}")


def read_contents(path: Path) -> "Contents | None":
    """Reads what an artifact holds, by the target that its name ends in; None for a target that notes no digests.

    Raises:
        ArtifactError: there is no such file, or it is damaged.
    """
    name = target_of_file(path)
    read = getattr(target(name), "read_contents", None)
    return None if read is None else cast(Callable[[Path], "Contents"], read)(path)


def read_facts(path: Path) -> Mapping[str, str]:
    """Returns what else there is to know of a whole artifact, by its target; nothing for a target that has no such.

    Raises:
        ArtifactError: it is damaged.
    """
    read: Callable[[Path], Mapping[str, str]] | None = getattr(target(target_of(path)), "read_facts", None)
    return {} if read is None else read(path)


def describe_file(path: Path) -> "FileDescription":
    """Reads what an artifact says of itself, by the target that its name ends in; raises ArtifactError."""
    name = target_of_file(path)
    return target(name).describe(path)


class TargetRunner(Protocol):
    """What ``runner.py`` of a target's package provides."""

    def open_all(self, path: Path, function: str | None = None) -> Sequence[Opener | NotMeasured]:
        """See ``runners_for``."""

    def open_unrounded(self, path: Path, function: str | None, reading: Reading, like: Path | None) -> Opener | None:
        """See ``unrounded``."""

    def observe(
        self, path: Path, function: str | None, batch: Array, reading: Reading, like: Path | None
    ) -> list[Observed]:
        """See ``observe_values``."""

    def takes_batch(self, path: Path, batch: int) -> bool:
        """Tells whether a batch can be run; raises ArtifactError for a damaged file."""


def runners_of(target: str) -> TargetRunner:
    """Returns what runs a target's artifacts."""
    return cast(TargetRunner, _import(target, "runner"))


def runners_for(target: str, path: Path, function: str | None = None) -> Sequence[Opener | NotMeasured]:
    """Returns what opens an artifact in each runner there is; one at a time, for each takes memory.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
    """
    return runners_of(target).open_all(path, function)


def unrounded(
    target: str,
    path: Path,
    function: str | None = None,
    reading: Reading = "unrounded",
    like: Path | None = None,
) -> Opener | None:
    """Returns what opens an artifact so that it is computed in float32, and nothing is rounded on the way.

    Two conversions of one graph then differ in nothing, so a half-precision or int8 file can be held to float32's
    tolerance. None where the target's runner cannot do this.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
        reading: "rounded constants" for a float32 artifact to compare with.
        like: the artifact that says which of the float32 one's weights are rounded, and to what.
    """
    return runners_of(target).open_unrounded(path, function, reading, like)


def observe_values(
    target: str,
    path: Path,
    function: str | None,
    batch: Array,
    reading: Reading = "rounded",
    like: Path | None = None,
) -> list[Observed]:
    """Returns every value that an artifact computes on the way to its outputs, in order.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
        batch: as the artifact takes it, pixels where it takes those.
        reading: of half precision and int8, where the runner can compute them otherwise.
        like: see ``unrounded``.

    Raises:
        ArtifactError: the artifact cannot be run, or no runner shows its values.
    """
    return runners_of(target).observe(path, function, batch, reading, like)


def open_before(target: str, path: Path, function: str | None, shapes: Sequence[tuple[int, ...]]) -> Opener | None:
    """Returns what opens an artifact with the numbers that it decides by as its outputs; None for a target without.

    Args:
        target: of the artifact.
        path: of the artifact.
        function: of a Core ML model that has more than one.
        shapes: of the numbers, in order.
    """
    make: Callable[..., Opener] | None = getattr(runners_of(target), "open_before", None)
    return make(path, function, shapes) if make else None


def optimizers_of(target: str) -> tuple[str, ...]:
    """Returns the optimisers that a target's runner can leave out, by name; none for one that has no such."""
    names: tuple[str, ...] = getattr(runners_of(target), "OPTIMIZERS", ())
    return names


def open_without(target: str, path: Path, optimizers: Sequence[str]) -> Opener:
    """Returns what opens an artifact with all of its runtime's optimisations but some of ``optimizers_of``."""
    return cast(Callable[[Path, Sequence[str]], Opener], _import(target, "runner").open_without)(path, optimizers)
