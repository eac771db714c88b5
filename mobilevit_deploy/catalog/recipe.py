"""What ``export_recipes/<name>.toml`` holds: a way to a target."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from mobilevit_deploy.catalog.cards import Card, TargetFormat
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.catalog.tuning import Evidence, OpenChoices
from mobilevit_deploy.errors import ChoiceError

# w8, w6, w4: bits per weight, with half-precision activations; int8: weights and activations, calibrated
Precision = Literal["fp32", "fp16", "int8", "w8", "w6", "w4"]


class Tolerance(Card):
    """How far an artifact may be from PyTorch, and why that far.

    Attributes:
        max_rel: the largest difference over the largest reference value; at most so much.
        snr_db: the power of the reference, centred over the samples, over the power of the difference; at least so
            much.
        top1_agreement: the share of the samples with the same largest logit; at least so much.
        reason: where these come from, with what was measured.
        detections: of a compressed detector, the share of its and of PyTorch's detections that the other side has, too;
            at least so much. None where each detection is held to ``max_rel``.
        labels: of a compressed segmenter, the share of the places that PyTorch is sure of with PyTorch's label; at
            least so much. None where that is ``top1_agreement``.
        half_sums: holds for a runner that says in its settings that it rounds every partial sum to half precision.
    """

    max_rel: float
    snr_db: float
    top1_agreement: float
    reason: str
    detections: float | None = None
    labels: float | None = None
    half_sums: "Tolerance | None" = None


class VersionRange(Card):
    """The ONNX opset or the iOS floor that a recipe writes.

    Attributes:
        default: where no option says another.
        minimum: the oldest that may be asked for.
        maximum: the newest that may be asked for.
        reason: why these.
    """

    default: int
    minimum: int
    maximum: int
    reason: str

    def choose(self, given: int | None, what: str) -> int:
        """Returns the given version or the default; raises ChoiceError outside the range."""
        version = self.default if given is None else given
        if not self.minimum <= version <= self.maximum:
            raise ChoiceError(
                f"{what} {version} is outside {self.minimum} to {self.maximum}", f"the default is {self.default}"
            )
        return version


class RecipeRewrite(Card):
    """A rewrite that a recipe applies, and why this target wants it.

    Attributes:
        name: of the rewrite. The order in which rewrites run is that of ``mobilevit_deploy/rewrites/order.py``.
        reason: what this target has against the form that is rewritten, or what was measured.
    """

    name: str
    reason: str


class CompressionScheme(Card):
    """How weights are stored from one version of the target on; of several, the newest that is allowed is taken.

    Attributes:
        minimum: the version from which on it is taken.
        method: ``quantize`` stores integers and one scale per output channel, ``palettize`` indices into one table per
            weight.
        bits: of a stored weight.
        reason: why this method from that version on.
    """

    minimum: int
    method: Literal["quantize", "palettize"]
    bits: Literal[4, 6, 8]
    reason: str


class PruningRule(Card):
    """From which version on weights can be pruned, alone and with another compression, and what that may cost.

    Attributes:
        minimum: the version from which on weights can be pruned.
        joint_minimum: the version from which on they can be compressed as well.
        reason: why these versions.
        tolerance: of a pruned file, in place of its precision's.
    """

    minimum: int
    joint_minimum: int
    reason: str
    tolerance: Tolerance


class Recipe(Card):
    """One file of ``export_recipes/``: everything that differs between targets.

    The one that has its target's name also says what is known of the format.

    Attributes:
        name: of the recipe, which is also its file's.
        description: what comes out, in one line.
        target: what the recipe exports to.
        format: of the target; only in the recipe that has its target's name.
        default_precision: where ``--precision`` says no other.
        version: the ONNX opset or the iOS floor; none for a target without versions.
        rewrites: those that are applied.
        tolerances: by precision; these are the precisions that the recipe writes, and fp32 is always among them.
        compression: by compressed precision (w8, w6, w4), how its weights are stored.
        pruning: none where weights cannot be pruned.
        quantization: what becomes int8 in models whose family has no rule.
        family_quantization: rules by family in place of the card's, for a target whose kernels are fast elsewhere.
        functions_minimum: the version from which on an artifact may have several functions.
        tuning: what ``mvd tune`` tries beside it.
        tuned: of a recipe that ``mvd tune`` wrote, what was measured.
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
    quantization: QuantizationRule | None = None
    family_quantization: Mapping[str, QuantizationRule] = {}
    functions_minimum: int | None = None
    tuning: OpenChoices | None = None
    tuned: Evidence | None = None

    @model_validator(mode="after")
    def _open_rewrites_are_told_apart(self) -> "Recipe":
        own, choices = {item.name for item in self.rewrites}, self.tuning
        if choices and not (set(choices.leave_out) <= own and own.isdisjoint(choices.add)):
            raise ValueError("tuning leaves out rewrites that the recipe has, and adds others")
        return self

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
        """Returns the given precision or the default; raises ChoiceError when the recipe has no such one."""
        if given is None:
            return self.default_precision
        for precision in self.tolerances:
            if precision == given:
                return precision
        raise ChoiceError(
            f"recipe {self.name} writes {' and '.join(self.tolerances)}, not {given}",
            f"leave --precision out for {self.default_precision}",
        )
