"""A file on its way to a phone, and what every converter is given to write one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch.export import ExportedProgram

from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.catalog.tensor_input import AXES_OF_IMAGE, TensorInput
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph.capture import TensorSpec
from mobilevit_deploy.graph.sample import Sample
from mobilevit_deploy.targets.app_options import AppInterface, Compression
from mobilevit_deploy.targets.compression import CompressionResult
from mobilevit_deploy.targets.quantization import Quantization, QuantizationResult

LARGEST_IMAGE = 2**24  # values of one image; of 2364 px a side and three channels
LARGEST_BATCH = 2**26  # values of one input


@dataclass(frozen=True)
class ConversionRequest:
    """One graph and what to make of it.

    Attributes:
        program: the rewritten graph.
        sample: an input, (B, C, H, W) float32, or a tensor for each of ``inputs``.
        input: name and shape of the input.
        outputs: names and shapes of the outputs, in the program's order.
        precision: of weights and activations.
        version: the ONNX opset, or the iOS floor; None for a target without versions.
        metadata: written into the artifact as text.
        path: where to write it.
        app: what an app sees; normalisation and softmax are in the program already.
        compression: of the weights.
        quantization: of weights and activations, for int8.
        sizes: other image sizes, (height, width), that ``program`` takes as well.
        intermediates: an empty folder for what the artifact is made from, to compare each step; None to leave it out.
        inputs: all of them, where the user named them; ``input`` is the first image then.
    """

    program: ExportedProgram
    sample: Sample
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    precision: Precision
    version: int | None
    metadata: Mapping[str, str]
    path: Path
    app: AppInterface = field(default_factory=AppInterface)
    compression: Compression | None = None
    quantization: Quantization | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    intermediates: Path | None = None
    inputs: tuple[TensorInput, ...] = ()


@dataclass(frozen=True)
class Intermediate:
    """What an artifact was made from: the same graph, converted in another precision or not yet compressed."""

    subject: str
    precision: Precision
    path: Path


@dataclass(frozen=True)
class Entry:
    """One way into an artifact: a shape that its input takes, (B, C, H, W), and the function that takes it.

    ``function`` is None where an artifact has but one.
    """

    shape: tuple[int, int, int, int]
    function: str | None = None


@dataclass(frozen=True)
class Artifact:
    """A converted model on disk: a file (ONNX) or a folder (Core ML).

    ``ops`` counts its operations by type, constants left out; ``warnings`` are for the user; ``outputs`` and ``app``
    are what the app sees; ``intermediates`` are the steps to it, in order, and ``entries`` the ways into it where there
    are several, the default one first. ``graph`` is what it was lowered from, in its precision, where the file itself
    cannot be read without its rounding. ``input`` is there where the file takes whole numbers in place of real ones.
    """

    path: Path
    target: str
    ops: Mapping[str, int]
    sha256: str
    bytes: int
    outputs: tuple[TensorSpec, ...]
    app: AppInterface = field(default_factory=AppInterface)
    compression: CompressionResult | None = None
    quantization: QuantizationResult | None = None
    warnings: tuple[str, ...] = field(default=())
    intermediates: tuple[Intermediate, ...] = ()
    entries: tuple[Entry, ...] = ()
    graph: Path | None = None
    input: TensorSpec | None = None


@dataclass(frozen=True)
class FileDescription:
    """What an artifact on disk says of itself, without its being run.

    Attributes:
        path: the file or folder.
        target: that wrote it.
        metadata: texts by key.
        entries: every way into it, the default one first.
        outputs: names and shapes for the default entry.
        image: whether it takes pixel values in place of an array.
        probabilities: whether it returns those in place of logits.
        color: an image's layout, such as ``RGB``.
        labels: names of the classes, in order.
        half: whether it computes in half precision.
        inputs: name and shape of each, where the target may have several; the entry is of the first with four axes.
    """

    path: Path
    target: str
    metadata: Mapping[str, str]
    entries: tuple[Entry, ...]
    outputs: tuple[TensorSpec, ...]
    image: bool = False
    probabilities: bool = False
    color: str | None = None
    labels: tuple[str, ...] = ()
    half: bool = False
    inputs: tuple[TensorSpec, ...] = ()


def image_of(inputs: Sequence[TensorSpec], name: str) -> TensorSpec:
    """Returns the one input of an artifact, or the first with the axes of an image; raises ArtifactError for none."""
    if len(inputs) == 1:
        return inputs[0]
    for spec in inputs:
        if len(spec.shape) == AXES_OF_IMAGE:
            return spec
    names = ", ".join(spec.name for spec in inputs) or "none"
    raise ArtifactError(f"{name} has the inputs {names}, of which none is an image")


def check_input(shape: Sequence[int], name: str) -> None:
    """Raises ArtifactError for an input without pixels, or with more than a model for a telephone takes.

    Args:
        shape: of the input of an artifact, as it says itself.
        name: of the artifact.
    """
    shown = "x".join(map(str, shape[:8]))
    if min(shape, default=1) < 1:
        raise ArtifactError(f"{name} takes an input of {shown}, which holds no image", "export it again")
    if math.prod(shape[1:]) > LARGEST_IMAGE or math.prod(shape) > LARGEST_BATCH:
        raise ArtifactError(
            f"{name} takes an input of {shown}, more than mvd makes images for", "is the file damaged, or hostile?"
        )


def report_name(artifact: Path, target: str) -> str:
    """Returns the name of the report that stands beside an artifact."""
    return f"{artifact.name.removesuffix(artifact.suffix)}.{target}.json"
