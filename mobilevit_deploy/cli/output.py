"""What every command takes beside its own options, how its help names values, and its example."""

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mobilevit_deploy.cli import console


class FormatName(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


Format = Annotated[
    FormatName | None, typer.Option("--format", help="How tables are printed; json is what --json prints.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the result alone: of a file, its path.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print details too.")]
NARROW = 70  # columns, of which the options' names take 32
INDENT = 4
SHARED = {"format_": Format, "quiet": Quiet, "verbose": Verbose}


def with_output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command that takes --format, -q and -v too; all of what it prints goes by them."""
    own = inspect.signature(command).parameters

    @functools.wraps(command)
    def run(*, format_: FormatName | None, quiet: bool, verbose: bool, **given: Any) -> None:
        if quiet and verbose:
            raise typer.BadParameter("-q and -v ask for less and for more: give one of them")
        if format_ and format_ is not FormatName.JSON and given["json"]:
            raise typer.BadParameter(f"--json and --format {format_}: give one of them")
        given["json"] |= format_ is FormatName.JSON
        console.choose(console.Output(format_ or FormatName.TABLE, quiet, verbose))
        command(**given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, keyword, default=None if name == "format_" else False, annotation=kind)
        for name, kind in SHARED.items()
    ]
    run.__signature__ = inspect.Signature([*own.values(), *added])  # type: ignore[attr-defined]  # read by typer
    run.__annotations__ = {**command.__annotations__, **SHARED}
    return run


class Command(TyperCommand):
    """A command whose help names values in words for people, and not by Python's types."""

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        known: Any
        for known in self.params:
            if known.param_type_name == "argument":
                known.metavar = known.metavar or known.name.upper()
                known.display_type_rich = lambda **_: None
                known.get_usage_pieces = lambda *_, known=known: _in_usage(known)
                known.get_missing_message = lambda *_, known=known, **__: known.help
            elif known.metavar is None:
                known.metavar = _value_name(known.type_descriptor)
            known.min = known.max = None  # these are for the help alone, which would say x>=1

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options; on a narrow terminal what each means stands below it, and no word is broken."""
        if formatter.width < NARROW:
            formatter.write_dl = functools.partial(formatter.write_dl, col_max=INDENT)
        super().format_options(ctx, formatter)


def _in_usage(argument: Any) -> list[str]:
    """Returns how an argument stands in the line of usage."""
    name = argument.metavar if argument.required else f"[{argument.metavar}]"
    return [name if argument.nargs == 1 or name.endswith("...") else f"{name}..."]


def _value_name(kind: Any) -> str | None:
    """Returns what stands for an option's value."""
    if kind.is_choice:
        return "|".join(str(choice.value) for choice in kind.choices)
    return {int: "N", float: "NUMBER", Path: "PATH", bool: None}.get(kind.annotation, "TEXT")
