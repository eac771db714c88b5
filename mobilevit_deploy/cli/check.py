"""``mvd check``."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json, Out
from mobilevit_deploy.errors import CheckFailedError, MvdError
from mobilevit_deploy.system.publish import DEFAULT_FOLDER, publish_text


def check(
    file: Annotated[Path, typer.Argument(help="A TOML file of exports and limits.")],
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML, for CI servers.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a summary for a pull request.")] = None,
    update_baselines: Annotated[
        bool, typer.Option("--update-baselines", help="Write the latency baselines in place of judging latency.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A gate that cannot tell fails.")] = False,
    out: Out = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Export and judge a list of models, for CI: exit code 3 when a gate fails."""
    from mobilevit_deploy.checks.plan import read_checks

    read_checks(file)  # a slip in it is told before PyTorch is imported
    with console.progress() as progress:
        progress("importing PyTorch")
        from mobilevit_deploy.checks import summary
        from mobilevit_deploy.checks.run import GatesRequest, run_checks
        from mobilevit_deploy.export.cache import default_folder

        request = GatesRequest(file, out, default_folder(), update_baselines)
        with redirect_stdout(sys.stderr):  # models' own code may print; stdout is for the result
            checks = run_checks(request, progress)
    if junit:
        publish_text(summary.junit(checks), junit)
    if markdown:
        publish_text(summary.markdown(checks), markdown)
    if json:
        console.print_json(summary.document(checks))
    else:
        console.print_result(summary.summary(checks), quiet=[])
    counts = summary.count(checks)
    if counts["error"]:
        raise MvdError(f"checks that could not be run: {counts['error']} of {len(checks)}", "the reasons are above")
    if counts["failed"]:
        raise CheckFailedError(f"gates that failed: {counts['failed']}")
    if counts["undecided"]:
        if strict:
            raise CheckFailedError(f"gates that are undecided, with --strict: {counts['undecided']}")
        console.warn(f"gates that are undecided, neither passed nor failed: {counts['undecided']}")
