"""``mvd snippet``."""

from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.options import Json, check_artifact, parse_channels


def snippet(
    artifact: Annotated[Path, typer.Argument(callback=check_artifact, help="A file that mvd export wrote.")],
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="swift|kotlin|python|cpp|javascript",
            help="Default: as --out ends; else swift for Core ML, kotlin for LiteRT and ExecuTorch, python for ONNX.",
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,M", help="Per channel, as fractions of 1. Default: what the file says.")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S,S,S", help="Likewise.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the code there. Default: print it.")
    ] = None,
    json: Json = False,
) -> None:
    """Print code for an app: it prepares a picture as this file needs it, runs the file, and names the answer."""
    from mobilevit_deploy.catalog.formats import target_of
    from mobilevit_deploy.report.snippet.languages import CODE_SUFFIXES, check_place, language_of

    means, stds = parse_channels(mean), parse_channels(std)
    if out:
        check_place(out)
    language = language_of(target_of(artifact), lang or (CODE_SUFFIXES.get(out.suffix.lower()) if out else None))
    with console.progress() as progress:
        progress("importing PyTorch")
        from rich.text import Text

        from mobilevit_deploy.errors import printable
        from mobilevit_deploy.report.snippet.snippet import SnippetRequest, snippet_document, write_snippet
        from mobilevit_deploy.system.publish import publish_text

        progress(f"reading {printable(artifact.name)}")
        written = write_snippet(SnippetRequest(artifact, language, means, stds))
        if out:
            publish_text(written.code, out)
    if json:
        console.print_json(snippet_document(written, artifact))
    elif out:
        run = written.run.replace(written.file, printable(out.name))
        console.print_result(Text(f"wrote {printable(str(out))}: {run}"), quiet=[str(out)])
    else:
        typer.echo(written.code, nl=False)
