"""Where output goes: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from mobilevit_deploy.cli import interruption
from mobilevit_deploy.errors import show

if TYPE_CHECKING:  # rich is imported when something is printed, not when help is shown
    from rich.console import Console, RenderableType


PIPED_WIDTH = 160  # a file name is not broken where a program reads it


def stdout() -> Console:
    """Returns the console for results."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


def print_result(result: RenderableType) -> None:
    """Prints a table or a text for people."""
    stdout().print(result)


def print_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON document."""
    from mobilevit_deploy.system.json_text import dumps

    typer.echo(dumps(document))


def warn(message: str) -> None:
    """Prints a warning."""
    typer.secho(show(f"warning: {message}"), fg=typer.colors.YELLOW, err=True)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows the running stage and the time it takes on a terminal; elsewhere a line per stage."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal:
        yield interruption.heard(lambda stage: typer.echo(f"mvd: {stage}", err=True))
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:

        def begin(stage: str) -> None:
            for task in bar.task_ids:
                bar.update(task, total=1, completed=1)
            bar.add_task(stage, total=None)

        yield interruption.heard(begin)
        for task in bar.task_ids:
            bar.update(task, total=1, completed=1)
