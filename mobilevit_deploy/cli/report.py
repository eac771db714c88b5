"""``mvd report``."""

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json
from mobilevit_deploy.system.publish import DEFAULT_FOLDER


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that artifacts and reports are in.")
    ] = DEFAULT_FOLDER,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The page. Default: report.html in the folder.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run every artifact on this picture, and show what each says of it."),
    ] = None,
    json: Json = False,
) -> None:
    """Write one HTML page of all artifacts and measurements in a folder."""
    if out and not out.is_dir() and out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--out is the page, and {out} does not end in .html: what is there would be lost")
    with console.progress() as progress:
        from rich.console import Group
        from rich.text import Text

        from mobilevit_deploy.errors import printable
        from mobilevit_deploy.report.page.folder import read_folder
        from mobilevit_deploy.report.page.html import page_document, render
        from mobilevit_deploy.system.publish import publish_text

        path = out or folder / "report.html"
        shown = printable(str(path))
        progress("reading reports and hashing artifacts")
        found = read_folder(folder)
        prediction, answers = None, []
        if image:
            progress("importing PyTorch")
            from mobilevit_deploy.report.page.predictions import answers_table, predict_in_folder

            prediction = predict_in_folder(found, image, progress)
            answers.append(answers_table(prediction))
        progress(f"writing {shown}")
        publish_text(render(found, prediction), path)
    for problem in found.problems:
        console.warn(f"{problem.file}: {problem.reason}")
    if json:
        console.print_json(page_document(found, shown, prediction))
    else:
        count = sum(len(artifact.latencies) for artifact in found.artifacts)
        line = Text(f"wrote {shown}: artifacts {len(found.artifacts)}, measurements {count}")
        console.print_result(Group(*answers, line), quiet=[shown])
