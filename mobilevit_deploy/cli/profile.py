"""``mvd profile``."""

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json


def profile(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An .onnx file.")],
    threads: Annotated[int | None, typer.Option(min=1, help="Default: as many as there are cores.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time to measure, after the warm-up.")] = 3.0,
    depth: Annotated[int, typer.Option(min=0, help="How far down the tree of modules is shown.")] = 2,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the runs as a Chrome trace, for ui.perfetto.dev.")
    ] = None,
    json: Json = False,
) -> None:
    """Show where the time goes, by module and by op, beside the machine's own peak."""
    with console.progress() as progress:
        from mobilevit_deploy.profiling import ProfileRequest, profile_artifact
        from mobilevit_deploy.profiling.trace import write_trace
        from mobilevit_deploy.report.json import profile_document
        from mobilevit_deploy.report.profiling import profile_table

        report = profile_artifact(ProfileRequest(artifact, threads, seconds), progress)
        if trace:
            write_trace(report.trace, trace)
    for warning in report.warnings:
        console.warn(f"{artifact.name}: {warning}")
    if json:
        console.print_json(profile_document(report, depth))
    else:
        console.print_result(profile_table(report, depth))
