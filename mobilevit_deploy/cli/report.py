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
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The page. Default: report.html in the folder, or matrix.html."
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run every artifact on this picture, and show what each says of it."),
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="DIR is of a sweep: write the page of all its cells.")
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --matrix: an earlier sweep, to say what changed since."),
    ] = None,
    json: Json = False,
) -> None:
    """Write one HTML page of all artifacts and measurements in a folder, or of all cells of a sweep."""
    if out and not out.is_dir() and out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--out is the page, and {out} does not end in .html: what is there would be lost")
    if baseline and not matrix:
        raise typer.BadParameter("--baseline is an earlier sweep: give --matrix with it")
    if matrix and image:
        raise typer.BadParameter("--image is for artifacts, and --matrix shows a sweep: give one of them")
    if matrix:
        _write_matrix(folder, baseline, out or folder / "matrix.html", json)
    else:
        _write_folder(folder, image, out or folder / "report.html", json)


def _write_folder(folder: Path, image: Path | None, path: Path, json: bool) -> None:
    """Writes the page of the artifacts in a folder."""
    with console.progress() as progress:
        from rich.console import Group
        from rich.text import Text

        from mobilevit_deploy.errors import printable
        from mobilevit_deploy.report.page.folder import read_folder
        from mobilevit_deploy.report.page.html import page_document, render
        from mobilevit_deploy.system.publish import publish_text

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


def _write_matrix(folder: Path, baseline: Path | None, path: Path, json: bool) -> None:
    """Writes the page of the cells of a sweep."""
    with console.progress() as progress:
        from rich.console import Group
        from rich.text import Text

        from mobilevit_deploy.errors import printable
        from mobilevit_deploy.report.matrix.changes import compare
        from mobilevit_deploy.report.matrix.document import matrix_document, matrix_summary
        from mobilevit_deploy.report.matrix.html import render
        from mobilevit_deploy.report.matrix.read import read_matrix, read_sweep
        from mobilevit_deploy.system.publish import publish_text

        shown = printable(str(path))
        progress("reading the sweep")
        found = read_matrix(folder)
        changes = compare(read_sweep(baseline), found.sweep) if baseline else None
        progress(f"writing {shown}")
        publish_text(render(found, changes, path), path)
    for problem in found.problems:
        console.warn(f"{problem.file}: {problem.reason}")
    if json:
        console.print_json(matrix_document(found, changes, path))
    else:
        line = Text(f"wrote {shown}: cells {len(found.sweep.cells)}")
        console.print_result(Group(*matrix_summary(found, changes), line), quiet=[shown])
