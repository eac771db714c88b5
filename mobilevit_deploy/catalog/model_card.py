"""What ``models/<family>.toml`` holds: a family, and its variants."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mobilevit_deploy.catalog.cards import Card, PublishedLatency
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import CatalogError

Task = Literal["classify", "features"]


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
