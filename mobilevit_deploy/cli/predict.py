"""``mvd predict``."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console, inline_image
from mobilevit_deploy.cli.model_arguments import parse_arguments
from mobilevit_deploy.cli.options import (
    Json,
    Key,
    ModelArg,
    Prefix,
    Pretrained,
    check_artifact,
    check_checkpoint,
    parse_channels,
)

DEFAULT_FOLDER = Path("predictions")


def _check_pictures(images: list[Path]) -> list[Path]:
    """Refuses a second artifact among the pictures."""
    from mobilevit_deploy.catalog.formats import formats
    from mobilevit_deploy.errors import printable

    suffixes = {known.suffix for known in formats().values()}
    for path in images:
        if path.suffix in suffixes:
            raise typer.BadParameter(f"{printable(str(path))} is an artifact; mvd predict runs one at a time")
    return images


def predict(
    artifact: Annotated[Path, typer.Argument(callback=check_artifact, help="A file that mvd export wrote.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", callback=_check_pictures, help="Pictures, or folders of them.")
    ],
    top: Annotated[int, typer.Option(min=1, max=100, help="How many classes are named.")] = 5,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The classes' names, one a line. Default: what the file says.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Per channel, as fractions of 1. Default: what the file says.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S,S,S", help="Likewise.")] = None,
    reference: Annotated[bool, typer.Option("--reference", help="Run PyTorch beside it.")] = False,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="For --reference. Default: what the artifact names.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=check_checkpoint, help="For --reference. Default: likewise."),
    ] = None,
    key: Key = "",
    prefix: Prefix = "",
    pretrained: Pretrained = False,
    model_arg: ModelArg = None,
    max_images: Annotated[int, typer.Option(min=1, max=1000, help="Of a folder, spread over it.")] = 24,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="For the drawn pictures.")] = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Run a file on pictures: the likeliest classes, or a mask or boxes drawn on the picture."""
    arguments, means, stds = parse_arguments(model_arg), parse_channels(mean), parse_channels(std)
    with console.progress() as progress:
        progress("importing PyTorch")
        from mobilevit_deploy.errors import printable
        from mobilevit_deploy.loading.checkpoint import Selection
        from mobilevit_deploy.report.drawing import draw_all
        from mobilevit_deploy.report.prediction import prediction_tables
        from mobilevit_deploy.verification.prediction import PredictRequest, predict
        from mobilevit_deploy.verification.prediction.document import predict_document

        selection = Selection("auto", key, prefix)
        request = PredictRequest(
            artifact=artifact,
            images=images,
            largest_count=max_images,
            labels=labels,
            top=top,
            mean=means,
            std=stds,
            reference=reference or model is not None or checkpoint is not None,
            model=model,
            checkpoint=checkpoint,
            selection=selection if selection != Selection() else None,
            pretrained=pretrained,
            arguments=arguments,
        )
        with redirect_stdout(sys.stderr):  # the model's own code may print
            report = predict(request, progress)
        drawn = draw_all(report, out, progress)
    for warning in report.warnings:
        console.warn(warning)
    if json:
        console.print_json(predict_document(report, drawn.by_image))
        return
    files = [printable(str(path)) for path in drawn.files]
    console.print_result(prediction_tables(report, files), quiet=files or None)
    for path in drawn.files[:1]:
        inline_image.show(path)
