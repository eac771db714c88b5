"""How weights are stored, as a recipe and the version of the target allow it."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.catalog.recipe import CompressionScheme, Precision, Recipe
from mobilevit_deploy.errors import CatalogError, MvdError
from mobilevit_deploy.targets.app_options import Compression


@dataclass(frozen=True)
class CompressionResult:
    """What compression did to a package.

    Attributes:
        bytes_before: of the package with the same weights uncompressed.
        compressed_bytes: of weights, by their uncompressed size, that were compressed.
        left_bytes: of weights that were left as they were, by the reason.
    """

    bytes_before: int
    compressed_bytes: int
    left_bytes: Mapping[str, int]


@dataclass(frozen=True)
class Floor:
    """The version that a user asked for, what it counts, and the option that sets it."""

    version: int
    name: str
    option: str

    @classmethod
    def of(cls, target: str, version: int | None) -> "Floor":
        """Returns that of a target; one without versions has no recipe that needs any."""
        known = format_of(target)
        return cls(version or 0, known.version or "", known.version_option or "")

    def require(self, needed: int, what: str) -> None:
        """Raises CatalogError, with the version that would do, when this one is lower."""
        if self.version < needed:
            raise CatalogError(f"{what} needs {self.name} {needed}, not {self.version}", f"give {self.option} {needed}")


def choose_compression(recipe: Recipe, precision: Precision, prune: float | None, floor: Floor) -> Compression | None:
    """Returns how a recipe stores the weights, None when uncompressed; raises CatalogError below the floor."""
    schemes = recipe.compression.get(precision, ())
    scheme: CompressionScheme | None = None
    if schemes:
        floor.require(min(item.minimum for item in schemes), precision)
        scheme = max((item for item in schemes if item.minimum <= floor.version), key=lambda item: item.minimum)
    if prune is not None:
        if recipe.pruning is None:
            raise CatalogError(f"recipe {recipe.name} does not prune", "leave --prune out")
        floor.require(recipe.pruning.minimum, "--prune")
        if scheme:
            floor.require(recipe.pruning.joint_minimum, f"--prune together with {precision}")
    return Compression(scheme, prune) if scheme or prune is not None else None


def check_installed(compression: Compression) -> None:
    """Raises MvdError when a package that compression needs is missing."""
    scheme = compression.scheme
    if scheme and scheme.method == "palettize" and importlib.util.find_spec("sklearn") is None:
        raise MvdError(f"{scheme.bits}-bit tables of weights need scikit-learn", "pip install scikit-learn")
