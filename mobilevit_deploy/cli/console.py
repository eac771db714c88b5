"""Where output goes: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from mobilevit_deploy.cli import interruption
from mobilevit_deploy.errors import show

if TYPE_CHECKING:  # rich is imported when something is printed, not when help is shown
    from rich.console import RenderableType


PIPED_WIDTH = 160  # a file name is not broken where a program reads it


@dataclass(frozen=True)
class Output:
    """What a command was asked to print, and how; each command sets it, see ``with_output_options``."""

    format: str = "table"
    quiet: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class Count:
    """How much of many things is done.

    Attributes:
        total: of the things.
        done: that are finished, well or not.
        state: in words, such as "1 failed, 9 min left".
        running: a line for each that is worked at.
        line: what has just happened; empty for nothing.
    """

    total: int
    done: int
    state: str
    running: Sequence[str] = ()
    line: str = ""


_output = Output()


def choose(output: Output) -> None:
    """Takes what is asked of all that is printed from now on."""
    global _output
    _output = output


def verbose() -> bool:
    """Returns whether details are asked for."""
    return _output.verbose


def print_result(result: RenderableType, quiet: Sequence[str] | None = None) -> None:
    """Prints a result for people, or in the format that was asked for; no line ends in blanks.

    Args:
        result: tables and texts.
        quiet: lines that -q leaves of it; None for a result that is all that the command is for.
    """
    from mobilevit_deploy.report.formats import FORMATS

    if _output.quiet and quiet is not None:
        text = "".join(f"{line}\n" for line in quiet)
    else:
        text = FORMATS.get(_output.format, _draw)(result)
    for line in text.splitlines():
        typer.echo(line.rstrip())


def _draw(result: RenderableType) -> str:
    """Returns a result as the terminal shows it; words longer than its lines are for the terminal to break."""
    from rich.console import Console

    from mobilevit_deploy.report.layout import parts

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    with console.capture() as captured:
        for part in parts(result):
            console.print(part, crop=False)
    return captured.get()


def print_json(document: Mapping[str, Any]) -> None:
    """Prints one JSON document."""
    from mobilevit_deploy.system.json_text import dumps

    typer.echo(dumps(document))


def warn(message: str) -> None:
    """Prints a warning, unless errors alone are asked for."""
    if _output.quiet:
        return
    typer.secho(show(f"warning: {message}"), fg=typer.colors.YELLOW, err=True)


@contextmanager
def counter(total: str) -> Iterator[Callable[[Count], None]]:
    """Shows how much of many things is done, and what runs: on a terminal a bar, elsewhere a line for each event.

    Args:
        total: what is counted, such as "cells".
    """
    if _output.quiet:
        yield lambda _count: interruption.check()
        return
    from rich.console import Console

    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal:

        def tell(count: Count) -> None:
            interruption.check()
            if count.line:
                typer.echo(show(f"mvd: {count.done} of {count.total} {total}; {count.line}"), err=True)

        yield tell
        return
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task(total)
    with Live(bar, console=console, refresh_per_second=4) as live:

        def draw(count: Count) -> None:
            interruption.check()
            bar.update(task, total=count.total, completed=count.done, description=f"{total}, {count.state}")
            live.update(Group(bar, *(Text(show(f"  {line}")) for line in count.running)))
            if count.line:
                live.console.print(Text(show(count.line)))

        yield draw


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows the running stage and the time it takes on a terminal; elsewhere a line per stage."""
    if _output.quiet:
        yield interruption.heard(lambda _stage: None)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal:
        yield interruption.heard(lambda stage: typer.echo(f"mvd: {stage}", err=True))
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        running: dict[int | None, TaskID] = {}  # by the place of what runs side by side; None for what runs alone

        def begin(stage: str) -> None:
            place = getattr(stage, "place", None)
            for other in list(running):
                if place is None or other in (place, None):
                    bar.update(running.pop(other), total=1, completed=1)
            running[place] = bar.add_task(stage, total=None)

        yield interruption.heard(begin)
        for task in bar.task_ids:
            bar.update(task, total=1, completed=1)
