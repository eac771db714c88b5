"""Ops and findings, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.integrity import integrity_line
from mobilevit_deploy.report.table import make_table, with_origin

if TYPE_CHECKING:
    from mobilevit_deploy.inspection import Inspection


def inspection_table(inspection: Inspection) -> RenderableType:
    """Returns the ops before and after, then the findings, each rule's source once."""
    parts: list[RenderableType] = [Text(f"{with_origin(inspection.name)} for {inspection.target}", style="bold")]
    if inspection.ops_before:
        ops = make_table("op (ATen)", "before", "after", numbers=("before", "after"))
        for name in dict.fromkeys([*inspection.ops_before, *inspection.ops_after]):
            ops.add_row(name, str(inspection.ops_before.get(name, "")), str(inspection.ops_after.get(name, "")))
        parts.append(ops)
    if inspection.ops:
        parts.append(Text("artifact: " + ", ".join(f"{name} {count}" for name, count in inspection.ops.items())))
    parts += [Text(f"{name.replace('_', ' ')}: {text}") for name, text in inspection.facts.items()]
    if inspection.integrity:
        parts.append(Text(integrity_line(inspection.integrity), style="red" if inspection.integrity.reason else ""))
    if inspection.conversion_error:
        parts.append(Text(f"the converter refuses the graph: {inspection.conversion_error}", style="red"))
    if inspection.findings_before:
        parts.append(Text(f"findings before rewriting: {len(inspection.findings_before)}"))
    if inspection.clean:
        return Group(*parts, Text("no findings", style="green"))
    if not inspection.findings:
        return Group(*parts)
    table = make_table("finding", "op", "at", "detail")
    for finding in inspection.findings:
        table.add_row(finding.rule, finding.op, finding.at, finding.detail)
    sources = {finding.rule: finding.source for finding in inspection.findings}
    return Group(*parts, table, *(Text(f"{rule}: {source}", style="dim") for rule, source in sources.items()))
