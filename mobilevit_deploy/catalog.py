"""The data folders as typed cards; the only module that knows where the data lies.

``models/<family>.toml`` holds one family and its variants, ``export_recipes/<name>.toml`` a way to a
target, ``devices/<name>.toml`` a machine to measure on. A new file is a new entry.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from mobilevit_deploy.cards import Card, Device, PublishedLatency, TargetFormat
from mobilevit_deploy.errors import CatalogError, MvdError
from mobilevit_deploy.quantization_rule import QuantizationRule
from mobilevit_deploy.text_files import read_limited

DEFAULT_MODEL = "cas_vit_m"  # what `mvd latency` measures when nothing is named and nothing was exported yet

LARGEST_CARD = 2**20  # bytes; the largest here has 7 kB

Task = Literal["classify", "features"]
# w8, w6, w4: bits per weight, with half-precision activations; int8: weights and activations, calibrated
Precision = Literal["fp32", "fp16", "int8", "w8", "w6", "w4"]


class InputRule(Card):
    """Which image sizes a family takes, in pixels: ``multiple_of`` gives, by task, what must divide both sides."""

    default_size: int = Field(gt=0)
    multiple_of: Mapping[Task, Annotated[int, Field(gt=0)]]

    def check(self, model: str, task: Task, height: int, width: int) -> None:
        """Raises CatalogError, naming the nearest sizes that fit, when a side does not fit."""
        multiple = self.multiple_of[task]
        for side in (height, width):
            if side < multiple or side % multiple:
                below = max(side // multiple, 1) * multiple
                raise CatalogError(
                    f"{model} takes sides divisible by {multiple} for {task}; {height}x{width} has {side}",
                    f"the nearest are --input-size {below} and --input-size {below + multiple}",
                )


class Preprocessing(Card):
    """How the family's authors prepare an image; mean and std per RGB channel of values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"]
    description: str


class CheckpointRule(Card):
    """What a family's checkpoint decides about the architecture, by the keys that it holds."""

    class_count: str
    options: Mapping[str, str] = {}


class PublishedAccuracy(Card):
    """ImageNet-1K top-1 accuracy as the authors published it."""

    input_size: int
    top1_percent: float


class Variant(Card):
    """One size of a family; MACs at 224 px, convolutions and matrix products only."""

    parameters: int = Field(gt=0)
    macs: int = Field(gt=0)
    published: tuple[PublishedAccuracy, ...] = ()
    published_latency: tuple[PublishedLatency, ...] = ()
    architecture: Mapping[str, Any]


class Family(Card):
    """One file of ``models/``."""

    family: str
    title: str
    paper: str
    repository: str | None = None
    commit: str | None = None
    licence: str | None = None
    reconstruction: bool
    tasks: tuple[Task, ...]
    num_classes: int
    input: InputRule
    preprocessing: Preprocessing
    checkpoint: CheckpointRule
    quantization: QuantizationRule | None = None  # None: the recipe's own
    variants: Mapping[str, Variant]

    @model_validator(mode="after")
    def _every_task_has_sizes(self) -> "Family":
        if set(self.tasks) != set(self.input.multiple_of):
            raise ValueError(f"input.multiple_of must name the tasks {', '.join(self.tasks)}, and no other")
        return self

    @model_validator(mode="after")
    def _reconstruction_has_no_accuracy(self) -> "Family":
        if self.reconstruction and any(variant.published for variant in self.variants.values()):
            raise ValueError("a reconstruction has no published accuracy: the paper's is that of the authors' model")
        return self


class ModelCard(Card):
    """One model that can be named on the command line: a family and one of its variants."""

    name: str
    family: Family
    variant: Variant


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


CardT = TypeVar("CardT", bound=Card)


def _folder(name: str) -> Path:
    package = Path(__file__).parent
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name


def _read(path: Path, card: type[CardT]) -> CardT:
    try:
        content = read_limited(path, LARGEST_CARD, "give a TOML file").decode("utf-8")
        return card.model_validate(tomllib.loads(content))
    except MvdError as error:
        raise CatalogError(error.message, error.hint) from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors(include_url=False)
        )
        raise CatalogError(f"{path.name} is not a {card.__name__} card: {problems}") from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, a number of too many digits; many brackets
        raise CatalogError(f"{path} is not TOML: {error}") from error


def _find(cards: Mapping[str, CardT], name: str, what: str, where: str) -> CardT:
    if name in cards:
        return cards[name]
    near = get_close_matches(name, cards, n=1)
    raise CatalogError(
        f"there is no {what} named {name!r}", f"did you mean {near[0]!r}?" if near else f"{where}: {', '.join(cards)}"
    )


@cache
def models() -> Mapping[str, ModelCard]:
    """Returns every model card by name, in the order of the files and of the variants in them."""
    cards = {}
    for path in sorted(_folder("models").glob("*.toml")):
        family = _read(path, Family)
        for key, variant in family.variants.items():
            name = f"{family.family}_{key}"
            cards[name] = ModelCard(name=name, family=family, variant=variant)
    return cards


@cache
def recipes() -> Mapping[str, Recipe]:
    """Returns every recipe by name."""
    cards = (_read(path, Recipe) for path in sorted(_folder("export_recipes").glob("*.toml")))
    return {recipe.name: recipe for recipe in cards}


@cache
def devices() -> Mapping[str, Device]:
    """Returns every device profile by name."""
    cards = (_read(path, Device) for path in sorted(_folder("devices").glob("*.toml")))
    return {device.name: device for device in cards}


def model(name: str) -> ModelCard:
    """Returns a model card; raises CatalogError with the nearest name when there is none."""
    if name.endswith(".py"):
        raise CatalogError(f"{name} is a file, and not a function that returns a model", f"give {name}:FUNCTION")
    return _find(models(), name, "model", "give one of these, or path/to/file.py:function for a model of your own")


def is_reconstruction(name: str) -> bool:
    """Tells whether a model, or an artifact by its file name, is rebuilt from a paper that came without code."""
    stem = name.partition("-")[0]
    return stem in models() and models()[stem].family.reconstruction


def is_own_code(reference: str) -> bool:
    """Tells whether a MODEL argument names a function of the user's own, ``file.py:function``, and no card."""
    return ":" in reference


def artifact_name(reference: str) -> str:
    """Returns a model's name in artifacts; of own code, file and function, or one where they are the same."""
    if not is_own_code(reference):
        return reference
    place, _, function = reference.rpartition(":")
    stem = Path(place).stem if place.endswith(".py") else place.rsplit(".", 1)[-1]
    return re.sub(r"\W", "_", function if stem == function else f"{stem}_{function}")


def recipe(name: str) -> Recipe:
    """Returns a recipe by name, or from a TOML file of the user's own; raises CatalogError."""
    if name.endswith(".toml"):
        return _read(Path(name), Recipe)
    return _find(recipes(), name, "recipe", "the recipes are")


def device(name: str) -> Device:
    """Returns a device profile; raises CatalogError with the nearest name when there is none."""
    return _find(devices(), name, "device", "the devices are")
