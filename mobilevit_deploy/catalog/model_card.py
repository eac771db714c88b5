"""What ``models/<family>.toml`` holds: a family, and its variants."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mobilevit_deploy.catalog.cards import Card, PublishedLatency
from mobilevit_deploy.catalog.quantization_rule import QuantizationRule
from mobilevit_deploy.errors import ChoiceError

Task = Literal["classify", "features", "segment", "detect", "instances"]
Layout = Literal["nchw", "nhwc"]  # of what a file takes
WeightsChoice = Literal["auto", "ema", "raw"]  # of a checkpoint that has the average of the weights beside them


class InputRule(Card):
    """Which image sizes a family takes, in pixels.

    Attributes:
        default_size: of both sides, where ``--input-size`` says no other.
        multiple_of: by task, what must divide both sides.
    """

    default_size: int = Field(gt=0)
    multiple_of: Mapping[Task, Annotated[int, Field(gt=0)]]

    def allows(self, task: Task, height: int, width: int) -> bool:
        """Tells whether both sides fit."""
        return all(self._fits(task, side) for side in (height, width))

    def check(self, model: str, task: Task, height: int, width: int) -> None:
        """Raises ChoiceError, naming the nearest sizes that fit, when a side does not fit."""
        multiple = self.multiple_of[task]
        for side in (height, width):
            if not self._fits(task, side):
                below = max(side // multiple, 1) * multiple
                raise ChoiceError(
                    f"{model} takes sides divisible by {multiple} for {task}; {height}x{width} has {side}",
                    f"the nearest are --input-size {below} and --input-size {below + multiple}",
                )

    def _fits(self, task: Task, side: int) -> bool:
        return side >= self.multiple_of[task] and side % self.multiple_of[task] == 0


class Preprocessing(Card):
    """How the family's authors prepare an image.

    Attributes:
        mean: per RGB channel, of values in [0, 1].
        std: likewise.
        interpolation: of the resizing.
        description: what is resized and cropped.
        crop: the share of the resized image that is kept, in its centre; None for the families' own rule, by the size.
        warp: both sides are resized to what the model takes, whatever the image's shape.
        pad: the whole image is resized to fit, its sides' ratio kept, and padded on the right and below with the mean.
        color: the order of the channels that the model takes.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    description: str
    crop: float | None = Field(default=None, gt=0, le=1)
    warp: bool = False
    pad: bool = False
    color: Literal["RGB", "BGR"] = "RGB"


class LibraryCard(Card):
    """What a library says of a model that it built; its part of what a family's card says of the catalog's.

    Attributes:
        library: name and version, such as ``timm 1.0.31``.
        input_size: channels, height and width in pixels, where ``--input-size`` says no other.
        preprocessing: of images.
        classes: their names in order, each once; empty where the library has none for this model.
    """

    library: str
    input_size: tuple[int, int, int] | None = None
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] = ()


class CheckpointRule(Card):
    """What a family's checkpoint decides about the architecture, by the keys that it holds.

    Attributes:
        class_count: the key whose first dimension is the number of classes.
        options: build options, each with the key that turns it on where the checkpoint holds it.
    """

    class_count: str
    options: Mapping[str, str] = {}


class PublishedAccuracy(Card):
    """ImageNet-1K top-1 accuracy as the authors published it.

    Attributes:
        input_size: of both sides, in pixels.
        top1_percent: in per cent.
    """

    input_size: int
    top1_percent: float


class Variant(Card):
    """One size of a family.

    Attributes:
        parameters: how many, for classification.
        macs: multiply-accumulates at 224 px, of convolutions and matrix products only.
        published: accuracy.
        published_latency: what others have measured; shown beside a measurement and never mixed with it.
        architecture: what the family's ``build`` is given.
    """

    parameters: int = Field(gt=0)
    macs: int = Field(gt=0)
    published: tuple[PublishedAccuracy, ...] = ()
    published_latency: tuple[PublishedLatency, ...] = ()
    architecture: Mapping[str, Any]


class Family(Card):
    """One file of ``models/``.

    Attributes:
        family: the first part of the models' names; also the file's name.
        title: of the paper.
        paper: its address.
        repository: of the authors' code; left out where they published none.
        commit: of that code, which the architecture was compared with.
        licence: of that code.
        reconstruction: whether the architecture is made from the paper's description alone.
        tasks: what the architecture itself returns: logits, or the maps that a detector needs. Heads add their own.
        map_strides: of those maps, in pixels, in order.
        num_classes: where no checkpoint says another number.
        input: which image sizes it takes.
        preprocessing: of images.
        checkpoint: what a checkpoint decides.
        quantization: what becomes int8; the recipe's rule where the family has none.
        variants: by the second part of the models' names.
    """

    family: str
    title: str
    paper: str
    repository: str | None = None
    commit: str | None = None
    licence: str | None = None
    reconstruction: bool
    tasks: tuple[Literal["classify", "features"], ...]
    map_strides: tuple[Annotated[int, Field(gt=0)], ...]
    num_classes: int
    input: InputRule
    preprocessing: Preprocessing
    checkpoint: CheckpointRule
    quantization: QuantizationRule | None = None
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
