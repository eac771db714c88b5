"""What Core ML measured and planned, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog.cards import PublishedLatency
from mobilevit_deploy.catalog.published import published_latencies
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import milliseconds, with_origin

if TYPE_CHECKING:
    from mobilevit_deploy.apple.compute_plan import PlannedOperation, PlanReport
    from mobilevit_deploy.measurement.latency.coreml import CoreMLReport

BACKEND = "coreml"
MOST_LEFT = 30  # lines of the table; the JSON document has all


def coreml_table(reports: Sequence[CoreMLReport]) -> RenderableType:
    """Returns the latencies, in milliseconds, then the published ones, then what has to stand beside both."""
    numbers = ("p50 ms", "95 % interval", "p90", "p99", "runs", "load ms", "load again ms")
    table = ResultTable("artifact", "compute units", *numbers, "stable", numbers=numbers)
    for report in reports:
        s = report.statistics
        table.add_row(
            with_origin(report.artifact.name),
            report.compute_units,
            milliseconds(s.p50_ms),
            f"{milliseconds(s.ci95_ms[0])} to {milliseconds(s.ci95_ms[1])}",
            milliseconds(s.p90_ms),
            milliseconds(s.p99_ms),
            str(len(report.samples_ms)),
            f"{report.load_ms:.0f}",
            f"{report.second_load_ms:.0f}",
            Text("yes", style="green") if report.stable else Text("no", style="yellow"),
        )
    machine = reports[0].environment
    notes = [f"measured on {machine['device']}: {machine['cpu']}, {machine['os']}, batch {reports[0].batch}"]
    notes += dict.fromkeys(note for report in reports for note in report.notes)
    published = published_notes((report.artifact.name, report.input_shape) for report in reports)
    return Group(table, *published, *(Text(note, style="dim") for note in notes))


def published_notes(artifacts: Any) -> list[RenderableType]:
    """Returns a table of published latencies, apart from the measured ones; nothing where there are none."""
    rows: dict[tuple[str, PublishedLatency], None] = {}
    for name, shape in artifacts:
        for item in published_latencies(name, shape):
            rows[(name.partition("-")[0], item)] = None
    if not rows:
        return []
    table = ResultTable("published, not measured here", "ms", "device", "os", "with", "source", numbers=("ms",))
    for model, item in rows:
        where = f"{item.backend}, {item.input_size} px, batch {item.batch}"
        table.add_row(model, f"{item.latency_ms:.2f}", item.device, item.os or "not stated", where, item.source)
    return [table]


def plan_table(report: PlanReport) -> RenderableType:
    """Returns the shares, and the operations that are not planned for the Neural Engine."""
    machine = report.environment
    shares = ", ".join(f"{name} {share:.1%}" for name, share in report.cost_by_device.items())
    head = [
        Text(with_origin(report.artifact.name), style="bold"),
        Text(
            f"estimated cost: {shares}; {len(report.operations)} operations, {len(report.left)} off the Neural Engine"
        ),
    ]
    notes = [
        f"planned by {machine['device']}: {machine['cpu']}, {machine['os']}, compute units {report.compute_units}",
        "a plan is what Core ML intends; its costs are estimates, not times",
        *(f"planned through a twin: {change}" for change in report.twin_changes),
    ]
    if len(report.left) > MOST_LEFT:
        notes.insert(0, f"and {len(report.left) - MOST_LEFT} more; --json has all")
    table = ResultTable(
        "off the Neural Engine, and its module", "planned for", "cost", "found, and what rewrites it", numbers=("cost",)
    )
    for operation in report.left[:MOST_LEFT]:
        table.add_row(*_cells(operation))
    return Group(*head, *([table] if report.left else []), *(Text(note, style="dim") for note in notes))


def _cells(operation: PlannedOperation) -> tuple[str, ...]:
    """Returns cells of two lines, for names are long and terminals narrow."""
    module = {None: "module unknown", "": "(the model itself)"}.get(operation.module, operation.module)
    return (
        f"{operation.op} {operation.name}\n{module}",
        f"{operation.preferred}\ncould: {', '.join(operation.supported)}",
        "unknown" if operation.cost is None else f"{operation.cost:.1%}",
        f"{', '.join(operation.rules)}\n{', '.join(operation.rewrites)}".strip(),
    )
