"""What a template is told of an artifact: plain values, all from the file itself."""

from dataclasses import dataclass
from typing import Literal

from mobilevit_deploy.catalog.model_card import Preprocessing
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.images.preparation import kept_share, whole
from mobilevit_deploy.pipeline.origin import takes_channels_last
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.verification.prediction.reading import WITH_BOXES

MOST_NAMES = 2000  # of classes in the code; those of ImageNet-21k are more than a method of the JVM may hold

Answer = Literal["logits", "probabilities", "labels", "boxes", "arrays"]


@dataclass(frozen=True)
class Facts:
    """One artifact.

    Attributes:
        name: of the file.
        input: name of the one input.
        shape: of that input, as the file has it.
        batch: pictures in a run.
        channels: 3, or 1 for gray.
        height: of the input, in pixels.
        width: likewise.
        channels_last: whether the array is (B, H, W, C).
        pixels: whether values are 0 to 255, and the file normalises them itself.
        mean: per RGB channel, of values in [0, 1].
        std: likewise.
        bgr: whether the array's channels are blue, green, red.
        kernel: of the resizing.
        rule: stretch takes the whole picture to the input's size; fit keeps the ratio of its sides and pads; crop
            resizes so that the input is the centre.
        crop: the share of the resized picture that is kept, of the rule crop.
        keeps_ratio: whether the rule crop keeps the ratio of the sides.
        answer: what the outputs mean: one row of scores or probabilities, a map of labels, boxes that are chosen
            already, or nothing that a person would read.
        outputs: their names, in order.
        shapes: of these.
        classes: how many scores there are.
        labels: names of the classes; empty where nobody told them.
        input_steps: where the file takes int8, scale and zero point: the number is value / scale + zero point, rounded.
        output_steps: of each output, likewise; None for one that is float32.
    """

    name: str
    input: str
    shape: tuple[int, ...]
    batch: int
    channels: int
    height: int
    width: int
    channels_last: bool
    pixels: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool
    kernel: str
    rule: Literal["stretch", "fit", "crop"]
    crop: float
    keeps_ratio: bool
    answer: Answer
    outputs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    classes: int
    labels: tuple[str, ...]
    input_steps: tuple[float, int] | None = None
    output_steps: tuple[tuple[float, int] | None, ...] = ()


def facts_of(file: FileDescription, noted: Provenance, preparation: Preprocessing) -> Facts:
    """Returns what a template is told.

    Args:
        file: the artifact, its entries (B, C, H, W).
        noted: what it says of its export.
        preparation: of pictures.

    Raises:
        ArtifactError: it takes something else than one picture.
    """
    batch, channels, height, width = file.entries[0].shape
    if len(file.inputs) > 1:
        names = ", ".join(item.name for item in file.inputs)
        raise ArtifactError(
            f"{file.path.name} has the inputs {names}, and mvd snippet writes code for one picture",
            "mvd inspect shows what each of them takes",
        )
    if channels not in (1, 3):
        raise ArtifactError(
            f"{file.path.name} takes {channels} channels, a picture has 3 or 1", "mvd inspect shows its input"
        )
    if noted.head:  # which takes a picture whole
        preparation = whole(preparation)
    crop, warp = kept_share((height, width), preparation)
    last = takes_channels_last(file, noted)
    colors = (preparation.color, noted.image.color if noted.image and file.image else None)
    answer = _answer(file, noted)
    classes = file.outputs[0].shape[-1] if answer in ("logits", "probabilities") else 0
    count = noted.head.num_classes if noted.head else classes
    labels = noted.classes or file.labels[:count]  # a detector of Core ML may have unused ones
    return Facts(
        name=file.path.name,
        input=file.inputs[0].name if file.inputs else "",
        shape=(batch, height, width, channels) if last else (batch, channels, height, width),
        batch=batch,
        channels=channels,
        height=height,
        width=width,
        channels_last=last,
        pixels=file.image,
        mean=preparation.mean[:channels],
        std=preparation.std[:channels],
        bgr=channels == 3 and "BGR" in colors and (last or not file.image),  # an image of Core ML has its order itself
        kernel=preparation.interpolation,
        rule="fit" if preparation.pad else "stretch" if warp and crop == 1 else "crop",
        crop=crop,
        keeps_ratio=not warp,
        answer=answer,
        outputs=tuple(output.name for output in file.outputs),
        shapes=tuple(output.shape for output in file.outputs),
        input_steps=_steps(file.inputs[0]) if file.inputs else None,
        output_steps=tuple(map(_steps, file.outputs)),
        classes=classes,
        labels=tuple(labels) if len(labels) == count <= MOST_NAMES else (),
    )


def _steps(spec: TensorSpec) -> tuple[float, int] | None:
    return (spec.steps.scale, spec.steps.zero_point) if spec.steps else None


def _answer(file: FileDescription, noted: Provenance) -> Answer:
    shapes = [output.shape for output in file.outputs]
    if noted.head is None and noted.task == "classify" and len(shapes) == 1 and len(shapes[0]) == 2:
        return "probabilities" if file.probabilities or noted.own_probabilities else "logits"
    if noted.head and noted.task == "segment" and noted.head.output == "labels":
        return "labels"
    if noted.head and noted.task in WITH_BOXES and noted.head.output == "nms":
        return "boxes"
    return "arrays"
