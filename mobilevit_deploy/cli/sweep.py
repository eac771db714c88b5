"""``mvd sweep``."""

import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json

if TYPE_CHECKING:
    from mobilevit_deploy.report.matrix.record import Sweep
    from mobilevit_deploy.sweep.run import Moment

SHOWN = 8  # lines of what runs


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Returns ``1/4`` as numbers; a usage error for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"{text!r} is no part: give 1/4 to 4/4", param_hint="'--shard'")
    return int(found[1]), int(found[2])


def sweep(
    file: Annotated[Path, typer.Argument(help="A TOML file of models, targets, precisions and devices.")],
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at once here. Default: as many as cores and memory allow.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, whose workers make the cells.")
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER|URL", help="Where artifacts and reports go.")
    ] = "sweep",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a sweep that did not end.")] = False,
    shard: Annotated[str | None, typer.Option(metavar="K/N", help="Make one of so many parts.")] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Make nothing: write sweep.json of the cells that are there.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(metavar="FOLDER|URL", help="An earlier sweep, to say what changed.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML, for CI servers.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a summary for a pull request.")] = None,
    sarif: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what targets dislike of your own models' code, by its lines."),
    ] = None,
    json: Json = False,
) -> None:
    """Export, judge and measure a matrix of models, targets, precisions and devices, here or on a cluster."""
    part = parse_shard(shard)
    for name, given in (("--scheduler", scheduler), ("--out", out), ("--baseline", baseline)):
        if given == "":
            raise typer.BadParameter("it is empty: a variable that is not set?", param_hint=f"'{name}'")
    if scheduler and jobs:
        raise typer.BadParameter("--jobs is for this machine: leave it out with --scheduler", param_hint="'--jobs'")
    from mobilevit_deploy.sweep.cells import cells_of
    from mobilevit_deploy.sweep.plan import read_sweep

    cells_of(read_sweep(file), file.parent)  # a slip in it is told before PyTorch is imported
    with console.progress() as progress:
        progress("importing PyTorch")
        from mobilevit_deploy.sweep import summary
        from mobilevit_deploy.sweep.document import sweep_document
        from mobilevit_deploy.sweep.findings import sarif_of_sweep
        from mobilevit_deploy.sweep.run import SweepRequest, index_name, read_index, run_sweep
        from mobilevit_deploy.system.json_text import dumps
        from mobilevit_deploy.system.publish import publish_text

        earlier = read_index(baseline) if baseline else None
    request = SweepRequest(file, out, jobs, scheduler, resume, part, collect)
    try:
        with console.counter("cells") as tell:
            result = run_sweep(request, lambda moment: tell(_count(moment)))
    except KeyboardInterrupt:
        console.warn("what is finished is kept: the same command with --resume goes on")
        raise
    if sarif:
        with console.progress() as progress, redirect_stdout(sys.stderr):  # models' own code may print
            document, problems = sarif_of_sweep(file, progress)
        for problem in problems:
            console.warn(problem)
        publish_text(dumps(document) + "\n", sarif)
    if junit:
        publish_text(summary.junit(result), junit)
    if markdown:
        publish_text(summary.markdown(result, earlier), markdown)
    if json:
        console.print_json(sweep_document(result))
    else:
        console.print_result(summary.summary(result, earlier), quiet=[f"{out.rstrip('/')}/{index_name(part)}"])
    _end(result)


def _end(result: "Sweep") -> None:
    """Ends with the exit code that tells what became of the cells."""
    from mobilevit_deploy.errors import CheckFailedError, MvdError
    from mobilevit_deploy.sweep.document import count

    counts, total = count(result), len(result.cells)
    if counts["error"]:
        raise MvdError(f"cells that could not be made: {counts['error']} of {total}", "the reasons are above")
    if counts["waiting"]:
        raise MvdError(f"cells that are not there: {counts['waiting']} of {total}", "mvd sweep makes them")
    if counts["missed"]:
        raise CheckFailedError(f"cells that miss parity or a limit: {counts['missed']} of {total}")


def _count(moment: "Moment") -> console.Count:
    left = "" if moment.left_s is None else f", {_time(moment.left_s)} left"
    running = [f"{cell} on {place}" for cell, place in list(moment.running.items())[:SHOWN]]
    if len(moment.running) > SHOWN:
        running.append(f"and {len(moment.running) - SHOWN} more")
    state = f"{moment.failed} failed{left}"
    line = f"{moment.line}{left}" if moment.line else ""
    return console.Count(moment.total, moment.done + moment.failed, state, running, line)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
