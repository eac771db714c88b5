"""Ops and findings, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.report.integrity import integrity_line
from mobilevit_deploy.report.interface import read_interface
from mobilevit_deploy.report.layout import INDENT, Facts, ResultTable
from mobilevit_deploy.report.table import with_origin

if TYPE_CHECKING:
    from mobilevit_deploy.inspection import Inspection
    from mobilevit_deploy.targets.rules import Finding


def inspection_table(inspection: Inspection, *, verbose: bool = False) -> RenderableType:
    """Returns what a file takes and returns, the ops before and after, then the findings, each rule's source once.

    Args:
        inspection: of a model on its way to one target, or of a file.
        verbose: with what was found before the rewrites.
    """
    parts: list[RenderableType] = [Text(f"{with_origin(inspection.name)} for {inspection.target}", style="bold")]
    if inspection.integrity:  # a file's
        parts.append(Facts(_interface(Path(inspection.name), verbose=verbose), INDENT))
    if inspection.ops_before:
        ops = ResultTable("op (ATen)", "before", "after", numbers=("before", "after"))
        for name in dict.fromkeys([*inspection.ops_before, *inspection.ops_after]):
            ops.add_row(name, str(inspection.ops_before.get(name, "")), str(inspection.ops_after.get(name, "")))
        parts.append(ops)
    if inspection.ops:
        parts.append(Text("artifact: " + ", ".join(f"{name} {count}" for name, count in inspection.ops.items())))
    parts += [Text(f"{name.replace('_', ' ')}: {text}") for name, text in inspection.facts.items()]
    if inspection.integrity:
        parts.append(
            Text(f"digests: {integrity_line(inspection.integrity)}", style="red" if inspection.integrity.reason else "")
        )
    if inspection.conversion_error:
        parts.append(Text(f"the converter refuses the graph: {inspection.conversion_error}", style="red"))
    if inspection.findings_before:
        how = "" if verbose else " (-v lists them)"
        parts.append(Text(f"findings before rewriting: {len(inspection.findings_before)}{how}"))
        parts += _findings(inspection.findings_before) if verbose else []
    if inspection.clean:
        return Group(*parts, Text("no findings", style="green"))
    if not inspection.findings:
        return Group(*parts)
    if verbose and inspection.findings_before:
        parts.append(Text("findings after rewriting:"))
    return Group(*parts, *_findings(inspection.findings))


def _interface(path: Path, *, verbose: bool) -> dict[str, str]:
    """Returns what a file takes and returns; why that is not known of one that is looked at all the same."""
    try:
        return dict(read_interface(path, verbose=verbose).facts)
    except ArtifactError as error:
        return {"takes": error.message}


def _findings(findings: Sequence[Finding]) -> list[RenderableType]:
    table = ResultTable("finding", "op", "at", "detail")
    for finding in findings:
        table.add_row(finding.rule, finding.op, finding.at, finding.detail)
    sources = {finding.rule: finding.source for finding in findings}
    return [table, *(Text(f"{rule}: {source}", style="dim") for rule, source in sources.items())]
