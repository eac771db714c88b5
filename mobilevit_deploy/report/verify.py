"""What was found of an artifact on disk, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.accuracy import accuracy_lines
from mobilevit_deploy.report.integrity import integrity_line
from mobilevit_deploy.report.interface import read_interface
from mobilevit_deploy.report.layout import INDENT, Facts
from mobilevit_deploy.report.parity import explanations, legs_table, parity_text
from mobilevit_deploy.report.table import show_bytes, with_origin

if TYPE_CHECKING:
    from mobilevit_deploy.verification.divergence import Divergence
    from mobilevit_deploy.verification.report import VerifyReport


def verify_summary(report: VerifyReport, *, verbose: bool = False) -> RenderableType:
    """Returns what was found of one artifact on disk; each comparison with PyTorch where details are asked for."""
    weights = report.weights
    origin = f"weights: {weights.place}" if weights.trained else "UNTRAINED"
    parity, state = report.parity, report.integrity
    facts: dict[str, str | Text] = {
        **(
            {} if state.reason else read_interface(report.artifact, verbose=verbose).facts
        ),  # a changed file may say anything
        "size": f"{show_bytes(report.bytes)}; verified in {report.seconds:.1f} s",
        "digests": Text(integrity_line(state), style="red" if state.reason else ""),
    }
    if parity.legs or not state.reason:
        facts["parity"] = parity_text(parity, report.precision)
    parts: list[RenderableType] = [Text(f"{with_origin(report.model)}, {origin}"), Facts(facts, INDENT)]
    if verbose or parity.status == "failed":
        parts.append(legs_table(parity, report.artifact.name))
    else:
        parts += map(Text, explanations(parity))
    parts += map(Text, [*report.notes, *accuracy_lines(report.accuracy)])
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
