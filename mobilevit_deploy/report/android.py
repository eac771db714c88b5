"""What an Android phone measured, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.measurement.android.attached import PLUG_IN
from mobilevit_deploy.report.coreml import published_notes
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import milliseconds, with_origin
from mobilevit_deploy.system.environment import count_threads

if TYPE_CHECKING:
    from mobilevit_deploy.errors import MvdError
    from mobilevit_deploy.measurement.android.attached import AttachedPhone
    from mobilevit_deploy.measurement.latency.android import AndroidReport


def android_table(reports: Sequence[AndroidReport]) -> RenderableType:
    """Returns the latencies, in milliseconds, then the published ones, then what has to stand beside both."""
    numbers = ("p50 ms", "95 % interval", "p95", "fastest", "runs", "load ms", "memory MB")
    table = ResultTable("artifact", "delegate", *numbers, "stable", numbers=numbers)
    for report in reports:
        s = report.statistics
        table.add_row(
            with_origin(report.artifact.name),
            report.delegate,
            milliseconds(s.p50_ms),
            f"{milliseconds(s.ci95_ms[0])} to {milliseconds(s.ci95_ms[1])}",
            "" if report.p95_ms is None else milliseconds(report.p95_ms),
            milliseconds(report.min_ms),
            str(report.iterations),
            "" if report.load_ms is None else f"{report.load_ms:.0f}",
            "" if report.memory_mb is None else f"{report.memory_mb:.0f}",
            Text("yes", style="green") if report.stable else Text("no", style="yellow"),
        )
    phone, first = reports[0].environment, reports[0]
    notes = [
        f"measured on {phone['device']}: {phone['cpu']}, {phone['os']}, {count_threads(first.threads)}, "
        f"batch {first.batch}, {first.processes} processes"
    ]
    notes += dict.fromkeys(note for report in reports for note in report.notes)
    published = published_notes((report.artifact.name, report.input_shape) for report in reports)
    return Group(table, *published, *(Text(note, style="dim") for note in notes))


def phone_lines(attached: Sequence[AttachedPhone], problem: MvdError | None) -> Iterator[RenderableType]:
    """Yields what is known of the attached Android phones, each with the next step."""
    if problem is not None:
        yield Text(f"attached Android phones: {problem.message}")
        yield Text(problem.hint or "", style="dim")
    elif not attached:
        yield Text("no Android phone is attached")
        yield Text(PLUG_IN, style="dim")
    for phone in attached:
        yield Text(f"{phone.maker} {phone.model}".strip() or phone.serial, style="bold")
        facts = {
            "serial": phone.serial,
            "profile": phone.profile.name if phone.profile else "none",
            **({"chip": phone.chip, "system": phone.os, "runs": ", ".join(phone.abis)} if phone.ready else {}),
        }
        for name, value in facts.items():
            yield Text(f"  {name:9}{value}")
        obstacles = phone.obstacles()
        if not obstacles:
            yield Text(f"  ready: mvd latency FILE.tflite --backend android --device {phone.serial}", style="green")
        for obstacle in obstacles:
            yield Text(f"  {obstacle.message}: {obstacle.hint}", style="yellow")
