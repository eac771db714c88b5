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
    check_checkpoint,
    parse_channels,
)

DEFAULT_FOLDER = Path("predictions")


def _divide(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the artifacts and the pictures; a folder that artifacts are in stands for them, another is of pictures.

    Raises:
        BadParameter: one of the two is missing.
        ArtifactError: an artifact is not there.
    """
    from mobilevit_deploy.catalog.formats import formats, target_of_file
    from mobilevit_deploy.errors import ArtifactError, printable
    from mobilevit_deploy.images.pictures import SUFFIXES
    from mobilevit_deploy.loading.checkpoint_files import SUFFIXES as CHECKPOINTS

    suffixes = {known.suffix for known in formats().values()}
    artifacts: list[Path] = []
    pictures: list[Path] = []
    for path in paths:
        inside = sorted(file for file in path.iterdir() if file.suffix in suffixes) if path.is_dir() else []
        if path.suffix in suffixes:
            target_of_file(path)
            artifacts.append(path)
        elif inside:
            artifacts += inside
        else:
            pictures.append(path)
    if not artifacts:
        first = paths[0]
        if not first.exists() and not first.suffix:
            raise ArtifactError(f"there is no folder {first}", "mvd export writes one, artifacts")
        if first.suffix.lower() in CHECKPOINTS:
            raise ArtifactError(f"{first} is a checkpoint, and no artifact", f"mvd export {first} makes one of it")
        if not first.is_dir() and first.suffix.lower() not in SUFFIXES:
            target_of_file(first)
        raise typer.BadParameter(f"{printable(str(paths[0]))} is no artifact: give one before the pictures")
    if not pictures:
        raise typer.BadParameter(f"give pictures behind {printable(str(paths[-1]))}")
    return artifacts, pictures


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="ARTIFACT... IMAGE...",
            help="Files that mvd export wrote, or their folder; then pictures, or folders of them.",
        ),
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
    """Run files on pictures: the likeliest classes, or a mask or boxes drawn on the picture."""
    arguments, means, stds = parse_arguments(model_arg), parse_channels(mean), parse_channels(std)
    artifacts, images = _divide(paths)
    with console.progress() as progress:
        progress("importing PyTorch")
        from rich.console import Group

        from mobilevit_deploy.errors import MvdError, printable
        from mobilevit_deploy.loading.checkpoint import Selection
        from mobilevit_deploy.report.drawing import draw_all
        from mobilevit_deploy.report.prediction import prediction_tables
        from mobilevit_deploy.system.json_text import SCHEMA
        from mobilevit_deploy.verification.prediction import PredictRequest, predict
        from mobilevit_deploy.verification.prediction.document import predict_document

        selection = Selection("auto", key, prefix)
        shown, documents = [], []
        files: list[Path] = []
        refused: MvdError | None = None
        for artifact in artifacts:
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
            try:
                with redirect_stdout(sys.stderr):  # the model's own code may print
                    report = predict(request, progress)
            except MvdError as error:
                if artifact in paths or len(artifacts) == 1:
                    raise
                refused = error  # of a folder, what has no answer is left out
                console.warn(f"left out: {printable(artifact.name)}: {error.message}")
                continue
            drawn = draw_all(report, out, progress)
            shown.append((report, [printable(str(path)) for path in drawn.files]))
            documents.append(predict_document(report, drawn.by_image))
            files += drawn.files
        if refused and not shown:
            raise refused
    for warning in dict.fromkeys(warning for report, _ in shown for warning in report.warnings):
        console.warn(warning)
    if len({report.weights_sha256 for report, _ in shown}) > 1:
        console.warn("these files were made from different weights")
    if json:
        console.print_json(documents[0] if len(documents) == 1 else {"schema": SCHEMA, "results": documents})
        return
    console.print_result(Group(*(prediction_tables(report, written) for report, written in shown)))
    for path in files[:1]:
        inline_image.show(path)
