"""``mvd demo``."""

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json, parse_targets

DEFAULT_FOLDER = Path("mvd-demo")


def demo(
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="TARGET[,TARGET]", callback=parse_targets, help="Targets. Default: all that are installed."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="For the files and the page.")] = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Export a trained model that comes with mvd, and ask each file what a picture shows; no network."""
    with console.progress() as progress:
        progress("importing PyTorch")
        from mobilevit_deploy.report.demo.data import DIGIT
        from mobilevit_deploy.report.demo.document import demo_document
        from mobilevit_deploy.report.demo.run import run_demo
        from mobilevit_deploy.report.demo.summary import demo_summary

        made = run_demo(out, to or (), progress)
    if json:
        console.print_json(demo_document(made))
    else:
        console.print_result(demo_summary(made, DIGIT))
