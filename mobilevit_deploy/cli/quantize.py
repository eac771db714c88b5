"""``mvd quantize``: an export to int8 ONNX."""

from typing import Annotated

import typer

from mobilevit_deploy.cli.export import export
from mobilevit_deploy.cli.options import (
    DEFAULT_IMAGES,
    Batch,
    Calibrate,
    Checkpoint,
    Ignore,
    Images,
    InputSize,
    Json,
    Key,
    Layout,
    LayoutName,
    MaxImages,
    Model,
    ModelArg,
    NumClasses,
    Opset,
    Out,
    PrecisionName,
    Prefix,
    Pretrained,
    RequireTrained,
    Sensitivity,
    TargetName,
    Task,
    TaskName,
    Weights,
    WeightsName,
)
from mobilevit_deploy.system.publish import DEFAULT_FOLDER


def quantize(
    model: Model,
    calibrate: Calibrate = None,
    checkpoint: Checkpoint = None,
    weights: Weights = WeightsName.AUTO,
    key: Key = "",
    prefix: Prefix = "",
    ignore: Ignore = None,
    pretrained: Pretrained = False,
    model_arg: ModelArg = None,
    num_classes: NumClasses = None,
    input_size: InputSize = None,
    layout: Layout = LayoutName.NCHW,
    batch: Batch = 1,
    task: Task = TaskName.CLASSIFY,
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Default: onnx.")] = None,
    opset: Opset = None,
    sensitivity: Sensitivity = False,
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option("--keep-fp32", metavar="PATTERN", help="Modules that stay in float32; repeatable."),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Of the images' channels, fractions of 1. Default: the card's.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S,S,S", help="Likewise.")] = None,
    images: Images = None,
    max_images: MaxImages = DEFAULT_IMAGES,
    out: Out = DEFAULT_FOLDER,
    require_trained: RequireTrained = False,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Quantise the graph as captured.")] = False,
    json: Json = False,
) -> None:
    """Export to int8 ONNX, calibrated; the same as `mvd export --to onnx --precision int8`."""
    export(
        model=model,
        to=[TargetName("onnx")],
        precision=PrecisionName.INT8,
        calibrate=calibrate,
        checkpoint=checkpoint,
        weights=weights,
        key=key,
        prefix=prefix,
        ignore=ignore,
        pretrained=pretrained,
        model_arg=model_arg,
        num_classes=num_classes,
        input_size=input_size,
        layout=layout,
        batch=batch,
        task=task,
        recipe=recipe,
        opset=opset,
        sensitivity=sensitivity,
        keep_fp32=keep_fp32,
        mean=mean,
        std=std,
        images=images,
        max_images=max_images,
        out=out,
        require_trained=require_trained,
        no_rewrite=no_rewrite,
        json=json,
    )
