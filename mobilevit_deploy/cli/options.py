"""Options and arguments that several commands share, and how their text becomes values."""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.catalog.image_size import parse_image_size
from mobilevit_deploy.catalog.target_names import TARGETS
from mobilevit_deploy.catalog.tensor_input import TensorInput, check_inputs, parse_input
from mobilevit_deploy.loading.checkpoint_files import SUFFIXES, find_files, refuse_what_is_none


def parse_targets(given: list[str] | None) -> list[str]:
    """Returns targets, each once, of texts that may have several between commas; raises BadParameter for another."""
    names = [name.strip() for text in given or () for name in text.split(",")]
    for name in names:
        if name not in TARGETS:
            near = get_close_matches(name, TARGETS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"the targets are {', '.join(TARGETS)}."
            raise typer.BadParameter(f"there is no target {name!r}: {hint}", param_hint="'--to'")
    return list(dict.fromkeys(names))


To = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="TARGET[,TARGET]",
        callback=parse_targets,
        help=f"Of {', '.join(TARGETS)}; may be given more than once. Default: ONNX, Core ML, and others that are "
        "installed and meant for every export.",
    ),
]


class TaskName(StrEnum):
    """What the exported graph returns."""

    CLASSIFY = "classify"
    FEATURES = "features"
    SEGMENT = "segment"
    DETECT = "detect"
    INSTANCES = "instances"


class OutputName(StrEnum):
    """What a whole segmenter (logits, labels) or a model with boxes (raw, boxes, nms) returns."""

    LOGITS = "logits"
    LABELS = "labels"
    RAW = "raw"
    BOXES = "boxes"
    NMS = "nms"


class WeightsName(StrEnum):
    """Which of a checkpoint's weights to take."""

    AUTO = "auto"
    EMA = "ema"
    RAW = "raw"


class PrecisionName(StrEnum):
    """Of weights and activations; int8 is calibrated; w8, w6, w4: bits per weight, with half-precision activations."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    W8 = "w8"
    W6 = "w6"
    W4 = "w4"


class LayoutName(StrEnum):
    """The order of the axes of what a file takes: batch, channels, height, width."""

    NCHW = "nchw"
    NHWC = "nhwc"


class ColorName(StrEnum):
    """The order of the channels that a model was trained on."""

    RGB = "rgb"
    BGR = "bgr"


Model = Annotated[
    str,
    typer.Argument(
        help="A name from `mvd list`, a checkpoint of one of these, path/to/file.py:function, timm:NAME, "
        "torchvision:NAME, or hf:FOLDER."
    ),
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Of timm or torchvision: the library's own weights, which it downloads.")
]
Trained = Annotated[
    str | None,
    typer.Option(
        "--trained", metavar="TEXT", help="Of your own code that loads its weights: where they are from. Your word."
    ),
]
ModelArg = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg", metavar="KEY=VALUE", help="For the function or library that builds the model; repeatable."
    ),
]


def check_checkpoint(path: Path | None) -> Path | None:
    """Returns the path of a checkpoint; raises CheckpointError for what is none by its name or its first bytes."""
    if path is not None:
        for file in find_files(path):
            refuse_what_is_none(file)
    return path


def checkpoint_as_model(model: str, checkpoint: Path | None) -> Path | None:
    """Returns the checkpoint that was given in the place of MODEL; None for what names a model.

    Raises:
        CheckpointError: it is none, or is not there.
        BadParameter: there is another one.
    """
    from mobilevit_deploy.catalog.catalog import is_own_code

    path = Path(model)
    if is_own_code(model) or path.suffix.lower() not in SUFFIXES:
        return None
    if checkpoint:
        raise typer.BadParameter(f"MODEL is {model}, and --checkpoint another checkpoint: give one of them")
    return check_checkpoint(path)


def check_artifact(path: Path) -> Path:
    """Returns the path of an artifact; raises ArtifactError, before PyTorch is imported, for what is none."""
    from mobilevit_deploy.catalog.formats import target_of_file

    target_of_file(path)
    return path


Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", callback=check_checkpoint, help="Trained weights. Default: random ones."),
]
Weights = Annotated[
    WeightsName, typer.Option(help="Exponential moving average or raw weights; auto prefers the average.")
]
Key = Annotated[
    str,
    typer.Option("--key", metavar="A.B", help="The checkpoint's entry with the weights. Default: what fits."),
]
Prefix = Annotated[
    str, typer.Option("--prefix", metavar="P", help="Take the names that begin with P, without it. Default: what fits.")
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="PATTERN", help="Leave the checkpoint's names like this aside; repeatable."),
]
NumClasses = Annotated[
    int | None, typer.Option(min=1, help="Default: what the checkpoint has, or 1000; segment: 150, others: 80.")
]
InputSize = Annotated[
    str | None, typer.Option(metavar="N|HxW|CxHxW", help="In pixels. Default: the model's or head's own, or 224.")
]
Layout = Annotated[LayoutName, typer.Option(help="Of what the file takes, whatever the model is written for.")]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=SIZES[:TYPE]",
        help="Where forward takes more than one image: each argument, such as 'ids=1x77:int64[0,1000)'; repeatable.",
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Images per run, fixed in the graph.")]
Task = Annotated[
    TaskName,
    typer.Option(help="Logits, or the maps that a detector needs; with a head: Semantic FPN, RetinaNet, Mask R-CNN."),
]
Output = Annotated[
    OutputName | None,
    typer.Option(
        help="segment: a map of labels, or logits. detect: after suppression (nms), all boxes, or the maps; instances: "
        "nms or the maps (raw). Default: labels; nms, for detect boxes where a target has none."
    ),
]
Head = Annotated[
    Path | None,
    typer.Option(
        "--head", metavar="FILE", help="TOML: which outputs of a model that is none of mvd's are scores and boxes."
    ),
]
ScoreThreshold = Annotated[
    float | None, typer.Option("--score-threshold", metavar="S", help="With nms: the least score. Default: 0.05.")
]
IouThreshold = Annotated[
    float | None,
    typer.Option(
        "--iou-threshold", metavar="S", help="With nms: boxes of a class that overlap more are one. Default: 0.5."
    ),
]
MaxDetections = Annotated[
    int | None, typer.Option("--max-detections", metavar="N", help="With nms: the best ones. Default: 100.")
]
Opset = Annotated[int | None, typer.Option(metavar="N", help="ONNX opset. Default: 20.")]
RequireTrained = Annotated[bool, typer.Option("--require-trained", help="Refuse random weights.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder that artifacts and reports are in.")]

DEFAULT_IMAGES = 1000  # the accuracy of so many is known to 1.5 points, and they take minutes, not hours
Images = Annotated[
    Path | None,
    typer.Option(metavar="DIR|FILE", help="Your own images, in class folders or a .npz, for ranges and accuracy."),
]
Masks = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="segment: a label map of each of --images, a PNG of class numbers; for mIoU."),
]
Boxes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="detect, instances: boxes of --images, JSON in COCO's format; for AP."),
]
ReduceZeroLabel = Annotated[
    bool, typer.Option("--reduce-zero-label", help="In --masks 0 is no class, and 1 is class 0, as in ADE20K.")
]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE|structured", help="For int8: images that the model will see the like of; or a demo's."
    ),
]
Sensitivity = Annotated[
    bool, typer.Option("--sensitivity", help="For int8: measure what quantising each module alone costs.")
]
Int8Io = Annotated[
    bool, typer.Option("--int8-io", help="LiteRT, int8: the file takes and returns int8 too. Default: float32.")
]
OneRuntime = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="RUNTIME",
        help="ONNX, fp32: in the operators of this runtime alone, onnxruntime-cpu, which loads it faster.",
    ),
]
MaxImages = Annotated[int, typer.Option("--max-images", min=1, help="Take no more of them, spread over the classes.")]
Team = Annotated[
    str | None,
    typer.Option(metavar="TEAM", help="Xcode signs the iPhone's app for it. Default: MVD_TEAM, or the settings file."),
]
Device = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|ID",
        help="An attached phone, by name, UDID or serial, or its profile; see mvd devices. Default: this machine.",
    ),
]
Delegate = Annotated[
    str | None, typer.Option(metavar="cpu|gpu|nnapi", help="What an Android phone runs the file on. Default: cpu.")
]
BenchmarkBinary = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The runtime's own tool, such as TensorFlow Lite's benchmark_model, built for the device. "
        "Default: in MVD_ANDROID_TOOLS.",
    ),
]
LoadLimit = Annotated[
    float | None, typer.Option(min=1, metavar="SECONDS", help="How long an iPhone may load a model. Default: 120.")
]


def one_device(given: list[str] | None) -> str:
    """Returns the device that was named, ``host`` for none; a usage error for more than one."""
    if given and len(given) > 1:
        raise typer.BadParameter(f"--device takes one device, and here are {' and '.join(given)}: measure one by one")
    return given[0] if given else "host"


def parse_size(text: str | None) -> tuple[int, ...] | None:
    """Returns N, HxW or CxHxW as (height, width) or (channels, height, width); a usage error for anything else."""
    if text is None:
        return None
    try:
        return parse_image_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_inputs(given: list[str] | None) -> tuple[TensorInput, ...]:
    """Returns the inputs of a model; a usage error for a text that is none, or a name that is given twice."""
    try:
        inputs = tuple(map(parse_input, given or ()))
        check_inputs(inputs)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--input") from error
    return inputs


def parse_sizes(text: str | None) -> tuple[tuple[int, int], ...]:
    """Returns sizes between commas, each N or HxW, as (height, width); a usage error for anything else."""
    found = []
    for part in text.split(",") if text else ():
        size = parse_size(part.strip())
        if size is None or len(size) != 2:
            raise typer.BadParameter(f"{part!r} is no size: give N or HxW, for example 192,256x320")
        found.append((size[0], size[1]))
    return tuple(found)


def parse_channels(text: str | None) -> tuple[float, ...] | None:
    """Returns numbers between commas, one per channel; a usage error for anything else."""
    if text is None:
        return None
    if not re.fullmatch(r"\d*\.?\d+(,\d*\.?\d+){0,2}", text):
        raise typer.BadParameter(f"{text!r} is not one number or three, such as 0.485,0.456,0.406")
    return tuple(float(part) for part in text.split(","))
