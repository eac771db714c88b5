"""What ``export_recipes/<name>.toml`` holds: a way to a target."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from mobilevit_deploy.catalog.cards import Card, TargetFormat
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import CatalogError

# w8, w6, w4: bits per weight, with half-precision activations; int8: weights and activations, calibrated
Precision = Literal["fp32", "fp16", "int8", "w8", "w6", "w4"]


class Tolerance(Card):
    """How far an artifact may be from PyTorch, and why that far.

    ``max_rel`` is the largest difference over the largest reference value; ``snr_db`` the power of the
    reference, centred over the samples, over the power of the difference; ``top1_agreement`` a share. ``half_sums``
    holds for a runner that says in its settings that it rounds every partial sum to half precision.
    """

    max_rel: float
    snr_db: float
    top1_agreement: float
    reason: str
    half_sums: "Tolerance | None" = None


class VersionRange(Card):
    """The ONNX opset or the iOS floor that a recipe writes."""

    default: int
    minimum: int
    maximum: int
    reason: str

    def choose(self, given: int | None, what: str) -> int:
        """Returns the given version or the default; raises CatalogError outside the range."""
        version = self.default if given is None else given
        if not self.minimum <= version <= self.maximum:
            raise CatalogError(
                f"{what} {version} is outside {self.minimum} to {self.maximum}", f"the default is {self.default}"
            )
        return version


class RecipeRewrite(Card):
    """A rewrite that a recipe applies, and why this target wants it."""

    name: str
    reason: str


class CompressionScheme(Card):
    """How weights are stored from one version of the target on; of several, the newest that is allowed is taken.

    ``quantize`` stores integers and one scale per output channel, ``palettize`` indices into one table per weight.
    """

    minimum: int
    method: Literal["quantize", "palettize"]
    bits: Literal[4, 6, 8]
    reason: str


class PruningRule(Card):
    """From which version on weights can be pruned, alone and with another compression, and what that may cost."""

    minimum: int
    joint_minimum: int
    reason: str
    tolerance: Tolerance


class Recipe(Card):
    """One file of ``export_recipes/``: everything that differs between targets.

    The one that has its target's name also says what is known of the format.
    """

    name: str
    description: str
    target: str
    format: TargetFormat | None = None
    default_precision: Precision
    version: VersionRange | None = None
    rewrites: tuple[RecipeRewrite, ...]
    tolerances: Mapping[Precision, Tolerance]
    compression: Mapping[Precision, tuple[CompressionScheme, ...]] = {}
    pruning: PruningRule | None = None
    quantization: QuantizationRule | None = None  # of models whose family has none
    functions_minimum: int | None = None  # version from which on an artifact may have several functions

    @model_validator(mode="after")
    def _default_has_tolerance(self) -> "Recipe":
        if self.default_precision not in self.tolerances:
            raise ValueError(f"no tolerances for the default precision {self.default_precision}")
        if "fp32" not in self.tolerances:
            raise ValueError("no tolerances for fp32, at which the rewritten graph is compared")
        if ("int8" in self.tolerances) != (self.quantization is not None):
            raise ValueError("int8 needs tolerances and a quantization rule, and nothing else has one")
        return self

    @model_validator(mode="after")
    def _compressed_precisions_have_schemes(self) -> "Recipe":
        compressed = {precision for precision in self.tolerances if precision.startswith("w")}
        if compressed != set(self.compression) or not all(self.compression.values()):
            raise ValueError(
                "every compressed precision needs tolerances and at least one scheme, and no other has one"
            )
        return self

    def choose_precision(self, given: str | None) -> Precision:
        """Returns the given precision or the default; raises CatalogError when the recipe has no such one."""
        if given is None:
            return self.default_precision
        for precision in self.tolerances:
            if precision == given:
                return precision
        raise CatalogError(
            f"recipe {self.name} writes {' and '.join(self.tolerances)}, not {given}",
            f"leave --precision out for {self.default_precision}",
        )
