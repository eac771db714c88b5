"""``mvd quantize``: an export to int8 ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli.export import PrecisionName, TargetName, TaskName, WeightsName, export
from mobilevit_deploy.cli.options import DEFAULT_IMAGES, Calibrate, Images, Json, MaxImages, Out, Sensitivity
from mobilevit_deploy.system.publish import DEFAULT_FOLDER


def quantize(
    model: Annotated[str, typer.Argument(help="A name from `mvd list`, or path/to/file.py:function.")],
    calibrate: Calibrate = None,
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
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Default: onnx.")] = None,
    opset: Annotated[int | None, typer.Option(help="ONNX opset. Default: the recipe's.")] = None,
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
    require_trained: Annotated[bool, typer.Option("--require-trained", help="Refuse random weights.")] = False,
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
        num_classes=num_classes,
        input_size=input_size,
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
