"""What was found of an artifact on disk, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.accuracy import accuracy_lines
from mobilevit_deploy.report.integrity import integrity_line
from mobilevit_deploy.report.parity import legs_table
from mobilevit_deploy.report.table import show_bytes, with_origin

if TYPE_CHECKING:
    from mobilevit_deploy.verification.divergence import Divergence
    from mobilevit_deploy.verification.report import VerifyReport


def verify_summary(report: VerifyReport) -> RenderableType:
    """Returns what was found of one artifact on disk."""
    weights = report.weights
    origin = f"weights: {weights.place}" if weights.trained else "UNTRAINED"
    parts: list[RenderableType] = [
        Text(
            f"{with_origin(report.model)}, {origin}; {report.precision}, {show_bytes(report.bytes)}, "
            f"{report.seconds:.1f} s"
        ),
        Text(integrity_line(report.integrity), style="red" if report.integrity.reason else ""),
        legs_table(report.parity, report.artifact.name),
        *(Text(line) for line in report.notes),
        *(Text(line) for line in accuracy_lines(report.accuracy)),
    ]
    if report.divergence:
        parts += _divergence_lines(report.divergence)
    elif report.located and report.parity.status == "passed":
        parts.append(Text("no module diverges beyond the tolerance", style="green"))
    return Group(*parts)


def _divergence_lines(divergence: Divergence) -> list[RenderableType]:
    where = f" ({divergence.line})" if divergence.line else ""
    return [
        Text(f"first divergence: {divergence.module or 'the model itself'}, {divergence.op}{where}", style="bold red"),
        Text(f"{divergence.kind}: {divergence.detail}"),
        Text(
            f"in the artifact {divergence.name}, a {divergence.artifact_op}; "
            f"{divergence.compared} of its {divergence.computed} values were compared",
            style="dim",
        ),
    ]
