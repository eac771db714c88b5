"""Latencies, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog.formats import runtime_of
from mobilevit_deploy.report.coreml import published_notes
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import milliseconds, with_origin
from mobilevit_deploy.system.environment import count_threads

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.latency import LatencyReport


def latency_table(reports: Sequence[LatencyReport]) -> RenderableType:
    """Returns the latencies of all artifacts, in milliseconds."""
    numbers = ("p50 ms", "95 % interval", "p90", "p99", "per s", "load ms", "load again ms", "memory MB")
    table = ResultTable("artifact", *numbers, "stable", numbers=numbers)
    for report in reports:
        s = report.statistics
        table.add_row(
            with_origin(report.artifact.name),
            milliseconds(s.p50_ms),
            f"{milliseconds(s.ci95_ms[0])} to {milliseconds(s.ci95_ms[1])}",
            milliseconds(s.p90_ms),
            milliseconds(s.p99_ms),
            f"{report.throughput_per_s:.1f}",
            f"{report.load_ms:.0f}",
            f"{report.second_load_ms:.0f}",
            f"{report.peak_rss_mb:.0f}" if report.peak_rss_mb else "unknown",
            Text("yes", style="green") if report.stable else Text("no", style="yellow"),
        )
    first, machine = reports[0], reports[0].environment
    settings = {report.artifact.name: _settings(report.environment) for report in reports}
    shared = next(iter(settings.values())) if len(set(settings.values())) == 1 else ""
    version = machine["versions"][runtime_of(first.backend)]
    note = (
        f"{first.provider or first.backend}, {count_threads(first.threads)}, batch {first.batch}; {machine['cpu']}, "
        f"{machine['cores_available']} cores available; {first.backend} {version}" + shared
    )
    published = published_notes((report.artifact.name, report.input_shape) for report in reports)
    lines = [] if shared else [f"{name}: with {text.removeprefix('; ')}" for name, text in settings.items() if text]
    lines += [f"may help: {text}" for text in dict.fromkeys(text for item in reports for text in item.recommendations)]
    return Group(table, Text(note, style="dim"), *(Text(line, style="dim") for line in lines), *published)


def _settings(environment: Mapping[str, Any]) -> str:
    """Returns what was set of a session, to follow the other conditions."""
    kinds = ("session_options", "provider_options", "variables")
    return "".join(f"; {key}={value}" for kind in kinds for key, value in environment[kind].items())
