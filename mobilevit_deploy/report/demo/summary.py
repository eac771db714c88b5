"""What the demo made, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.errors import printable
from mobilevit_deploy.report.pictures import answer_text

if TYPE_CHECKING:
    from mobilevit_deploy.report.demo.run import Demo


def demo_summary(demo: Demo, digit: int) -> RenderableType:
    """Returns each file with what it says of the picture, where the page is, and what to type next.

    Args:
        demo: what was made.
        digit: that the picture shows.
    """
    parts = [Text(f"{demo.picture} shows a handwritten {digit}. What each file says of it:", style="bold")]
    for report, predicted in zip(demo.reports, demo.predictions, strict=True):
        found = predicted.predictions[0].found
        difference = report.parity.largest_difference
        beside = "" if difference is None else f"; at most {difference:.0e} of the largest logit from PyTorch"
        title = format_of(report.artifact.target).title
        parts += [
            Text(""),
            Text(f"{title}: {printable(answer_text(predicted, found))}{beside}", style="green"),
            Text(f"  {report.artifact.path}"),
        ]
    parts += [Text(""), Text(f"The page of all of it: {demo.page.resolve().as_uri()}")]
    if demo.not_installed:
        parts += [Text(""), Text("Not installed:")]
        parts += [Text(f"  {title}: {command}") for title, command in demo.not_installed.items()]
    return Group(*parts, Text(""), Text("Next:", style="bold"), *(Text(f"  {line}") for line in demo.next_commands))
