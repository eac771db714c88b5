"""``mvd inspect``."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from mobilevit_deploy.cli import console
from mobilevit_deploy.cli.model_arguments import parse_arguments
from mobilevit_deploy.cli.options import (
    Head,
    Input,
    Json,
    Layout,
    LayoutName,
    ModelArg,
    NumClasses,
    Output,
    TaskName,
    parse_inputs,
    parse_size,
    parse_targets,
)


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL|ARTIFACT", help="A model, or an exported file.")],
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="TARGET[,TARGET]", callback=parse_targets, help="Targets. Default: the device's, or all."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="A device profile; it decides the target.")] = None,
    task: Annotated[TaskName, typer.Option(help="What the graph returns.")] = TaskName.CLASSIFY,
    output: Output = None,
    head: Head = None,
    input_size: Annotated[str | None, typer.Option(metavar="N|HxW|CxHxW", help="In pixels.")] = None,
    layout: Layout = LayoutName.NCHW,
    input_: Input = None,
    num_classes: NumClasses = None,
    model_arg: ModelArg = None,
    no_rewrite: Annotated[bool, typer.Option("--no-rewrite", help="Look at the graph as captured.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when there is any finding.")] = False,
    json: Json = False,
) -> None:
    """Show the ops before and after rewriting, and what a target or device will dislike, with sources."""
    size, arguments, inputs = parse_size(input_size), parse_arguments(model_arg), parse_inputs(input_)
    with console.progress() as progress:
        from mobilevit_deploy.catalog import catalog
        from mobilevit_deploy.catalog.formats import formats, installed_targets
        from mobilevit_deploy.errors import CheckFailedError
        from mobilevit_deploy.inspection import inspect_artifact, inspect_model
        from mobilevit_deploy.inspection.document import inspection_document
        from mobilevit_deploy.report.inspection import inspection_table

        if Path(model).suffix in {known.suffix for known in formats().values()}:
            inspections = [inspect_artifact(Path(model))]
        else:
            from mobilevit_deploy.loading.model import ModelRequest
            from mobilevit_deploy.loading.model_head import HeadOptions
            from mobilevit_deploy.pipeline.request import ExportRequest

            default = catalog.device(device).targets if device else installed_targets()
            if inputs:
                default = [name for name in default if formats()[name].takes_several_inputs]
            wanted = to or default
            asked = ModelRequest(
                model,
                task.value,
                num_classes=num_classes,
                size=size,
                arguments=arguments,
                layout=layout.value,
                inputs=inputs,
                head=HeadOptions(
                    output.value if output else None, declaration=catalog.head_declaration(head) if head else None
                ),
            )
            request = ExportRequest(asked, tuple(wanted), rewrite=not no_rewrite)
            with redirect_stdout(sys.stderr):  # as in export
                inspections = inspect_model(request, progress)
    if json:
        console.print_json({"schema": 1, "inspections": [inspection_document(item) for item in inspections]})
    else:
        for inspection in inspections:
            console.print_result(inspection_table(inspection, verbose=console.verbose()))
    if strict and not all(inspection.clean for inspection in inspections):
        changed = next(
            (item.integrity.reason for item in inspections if item.integrity and item.integrity.reason), None
        )
        if changed:
            raise CheckFailedError(f"{Path(model).name}: {changed}", "export or copy it again")
        count = sum(len(inspection.findings) + bool(inspection.conversion_error) for inspection in inspections)
        raise CheckFailedError(f"{count} finding{'s' if count != 1 else ''}", "leave --strict out to only list them")
