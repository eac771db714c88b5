"""``mvd verify``."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.model_arguments import parse_arguments
from mobilevit_deploy.cli.options import (
    DEFAULT_IMAGES,
    Boxes,
    Ignore,
    Images,
    Json,
    Key,
    Masks,
    MaxImages,
    ModelArg,
    Prefix,
    Pretrained,
    ReduceZeroLabel,
    WeightsName,
    check_artifact,
    check_checkpoint,
)


def verify(
    artifact: Annotated[Path, typer.Argument(callback=check_artifact, help="A file that mvd export wrote.")],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="What it was made from. Default: what the artifact names.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=check_checkpoint, help="Its weights. Default: the file that the artifact names."
        ),
    ] = None,
    weights: Annotated[
        WeightsName | None, typer.Option(help="Of the checkpoint. Default: what it was made of.")
    ] = None,
    key: Key = "",
    prefix: Prefix = "",
    ignore: Ignore = None,
    pretrained: Pretrained = False,
    model_arg: ModelArg = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Whose tolerances hold. Default: that of the export.")
    ] = None,
    locate: Annotated[
        bool, typer.Option("--locate", help="Name the first module that diverges, and the kind of fault.")
    ] = False,
    tight: Annotated[
        bool,
        typer.Option(
            "--tight",
            help="Convert again, and hold the file to float32's tolerance; takes as long as an export. It is done "
            "unasked for compressed files where that took under 30 s.",
        ),
    ] = False,
    images: Images = None,
    max_images: MaxImages = DEFAULT_IMAGES,
    masks: Masks = None,
    boxes: Boxes = None,
    reduce_zero_label: ReduceZeroLabel = False,
    json: Json = False,
) -> None:
    """Compare what lies on disk with its own digests and with PyTorch, without exporting anything."""
    arguments = parse_arguments(model_arg)
    with console.progress() as progress:
        progress("importing PyTorch")
        from mobilevit_deploy.images.annotations import Annotations
        from mobilevit_deploy.loading.checkpoint import Selection
        from mobilevit_deploy.report.verify import verify_summary
        from mobilevit_deploy.verification.document import verify_document
        from mobilevit_deploy.verification.report import VerifyFailedError
        from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact

        selection = Selection(weights.value if weights else "auto", key, prefix, tuple(ignore or ()))
        request = VerifyRequest(
            artifact=artifact,
            model=model,
            checkpoint=checkpoint,
            selection=selection if selection != Selection() or weights else None,
            pretrained=pretrained,
            arguments=arguments,
            recipe=recipe,
            images=images,
            largest_count=max_images,
            annotations=Annotations(masks, boxes, reduce_zero_label),
            tight=tight,
            locate=locate,
        )
        failure = None
        try:
            with redirect_stdout(sys.stderr):  # the model's own code may print; stdout is for the result
                report = verify_artifact(request, progress)
        except VerifyFailedError as error:
            failure, report = error, error.report
    for warning in report.warnings:
        console.warn(warning)
    if json:
        console.print_json(verify_document(report))
    else:
        console.print_result(verify_summary(report, verbose=console.verbose()), quiet=[])
    if failure:
        raise failure
