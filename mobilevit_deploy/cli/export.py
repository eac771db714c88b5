"""``mvd export``."""

import sys
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.catalog.target_names import TARGETS
from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import (
    DEFAULT_IMAGES,
    Calibrate,
    Images,
    Json,
    MaxImages,
    Out,
    Sensitivity,
    parse_channels,
    parse_size,
    parse_sizes,
)
from mobilevit_deploy.system.publish import DEFAULT_FOLDER


class TargetName(StrEnum):
    """Formats to export to."""

    _ignore_ = "_name"
    for _name in TARGETS:
        vars()[_name.upper()] = _name


class TaskName(StrEnum):
    """What the exported graph returns."""

    CLASSIFY = "classify"
    FEATURES = "features"


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


class ColorName(StrEnum):
    """The order of the channels that a model was trained on."""

    RGB = "rgb"
    BGR = "bgr"


def export(
    model: Annotated[str, typer.Argument(help="A name from `mvd list`, or path/to/file.py:function.")],
    to: Annotated[list[TargetName], typer.Option("--to", help="Target format; may be given more than once.")],
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained weights; without it they are random.")
    ] = None,
    weights: Annotated[
        WeightsName, typer.Option(help="Exponential moving average or raw weights; auto prefers the average.")
    ] = WeightsName.AUTO,
    num_classes: Annotated[int | None, typer.Option(min=1, help="Default: what the checkpoint has, or 1000.")] = None,
    input_size: Annotated[
        str | None, typer.Option(metavar="N|HxW|CxHxW", help="In pixels. Default: the model's own, or 224.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per run, fixed in the graph.")] = 1,
    task: Annotated[TaskName, typer.Option(help="Logits, or the maps that a detector needs.")] = TaskName.CLASSIFY,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Default: the recipe named like the target.")
    ] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help="Default: the recipe's.")] = None,
    opset: Annotated[int | None, typer.Option(help="ONNX opset. Default: the recipe's.")] = None,
    min_ios: Annotated[int | None, typer.Option("--min-ios", help="Oldest iOS that reads the file.")] = None,
    image_input: Annotated[
        bool, typer.Option("--image-input", help="Core ML takes an image, normalised in the graph; ONNX an array.")
    ] = False,
    color: Annotated[
        ColorName | None, typer.Option(help="Channels that the model was trained on. Default: rgb.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Of the image's channels, fractions of 1. Default: the card's.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S,S,S", help="Likewise.")] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One class a line: Core ML returns label and probabilities.")
    ] = None,
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-fp32", metavar="PATTERN", help="Modules that stay in float32, for Core ML and int8; repeatable."
        ),
    ] = None,
    prune: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Set this share of the Core ML weights to zero, e.g. 0.5.")
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(metavar="N,HxW,...", help="Other image sizes that the Core ML package takes as well.")
    ] = None,
    calibrate: Calibrate = None,
    sensitivity: Sensitivity = False,
    images: Images = None,
    max_images: MaxImages = DEFAULT_IMAGES,
    out: Out = DEFAULT_FOLDER,
    require_trained: Annotated[bool, typer.Option("--require-trained", help="Refuse random weights.")] = False,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Export the graph as captured.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Export again, even if the same export was kept.")] = False,
    json: Json = False,
) -> None:
    """Export a model, verify what was written, and publish it: everything or nothing."""
    size, means, stds = parse_size(input_size), parse_channels(mean), parse_channels(std)
    others = parse_sizes(sizes)
    with console.progress() as progress:
        progress("importing PyTorch")
        from mobilevit_deploy.export.cache import default_folder
        from mobilevit_deploy.export.document import export_document
        from mobilevit_deploy.export.export import ParityFailedError, export_model
        from mobilevit_deploy.loading.model import ModelRequest
        from mobilevit_deploy.pipeline.request import ExportRequest
        from mobilevit_deploy.report.export import export_summary
        from mobilevit_deploy.targets.app_options import AppOptions

        request = ExportRequest(
            model=ModelRequest(
                name=model,
                task=task.value,
                checkpoint=checkpoint,
                weights=weights.value,
                num_classes=num_classes,
                size=size,
                batch=batch,
                require_trained=require_trained,
            ),
            targets=tuple(item.value for item in to),
            recipe=recipe,
            precision=precision.value if precision else None,
            opset=opset,
            min_ios=min_ios,
            rewrite=not no_rewrite,
            folder=out,
            images=images,
            largest_count=max_images,
            cache=default_folder(),
            force=force,
            calibrate=calibrate,
            sensitivity=sensitivity,
            app=AppOptions(
                image_input=image_input,
                channels=color.value if color else None,
                mean=means,
                std=stds,
                labels=labels,
                keep_fp32=tuple(keep_fp32 or ()),
                prune=prune,
                sizes=others,
            ),
        )
        failure = None
        try:
            with redirect_stdout(sys.stderr):  # the model's own code may print; stdout is for the result
                reports = export_model(request, progress)
        except ParityFailedError as error:
            failure, reports = error, list(error.reports)
    for warning in dict.fromkeys(warning for report in reports for warning in report.warnings):
        console.warn(warning)
    if json:
        console.print_json(
            {"schema": 1, "published": failure is None, "artifacts": [export_document(report) for report in reports]}
        )
    else:
        console.print_result(export_summary(reports, published=failure is None))
    if failure:
        raise failure
