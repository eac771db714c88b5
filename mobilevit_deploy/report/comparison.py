"""A comparison as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog.formats import format_of, runtime_of
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import milliseconds, show_bytes
from mobilevit_deploy.system.environment import count_threads

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.comparison import Comparison
    from mobilevit_deploy.measurement.comparison.compare import Compared
    from mobilevit_deploy.measurement.comparison.drift import Drift
    from mobilevit_deploy.measurement.comparison.ratio import Ratio


def comparison_table(comparison: Comparison) -> RenderableType:
    """Returns the artifacts, a line each; below it what is not in the table, and why."""
    counted = ("correct", "as base") if any(item.accuracy for item in comparison.results) else ()
    numbers = ("size", "p50 ms", "ratio", "95 % interval", "max rel", "SNR", "same class", *counted)
    table = ResultTable("artifact", *numbers, numbers=numbers)
    for number, item in enumerate(comparison.results):
        drift = ("base", "", "") if number == 0 else _drift_cells(item.drift)
        ratio = ("base" if item.ratio else "", "") if number == 0 else _ratio_cells(item.ratio)
        time = "" if item.p50_ms is None else milliseconds(item.p50_ms)
        accuracy = _accuracy_cells(item) or ("",) * len(counted)
        table.add_row(str(item.artifact), show_bytes(item.bytes), time, *ratio, *drift, *accuracy)
    machine = comparison.environment
    notes: list[RenderableType] = [
        Text(f"{item.artifact.name}: no latency: {item.latency_reason}")
        for item in comparison.results
        if item.latency_reason
    ]
    timed = next((item.ratio for item in comparison.results[1:] if item.ratio), None)
    if timed:
        note = f"{timed.pairs} rounds in {timed.groups} groups of processes, {count_threads(comparison.threads)}; "
        backends = dict.fromkeys(format_of(item.target).backend for item in comparison.results if item.p50_ms)
        note += "; ".join([machine["cpu"], *(f"{name} {machine['versions'][runtime_of(name)]}" for name in backends)])
        notes.append(Text(note, style="dim"))
    return Group(table, *notes)


def _ratio_cells(ratio: Ratio | None) -> tuple[str, str]:
    return (f"{ratio.value:.3f}", f"{ratio.ci95[0]:.3f} to {ratio.ci95[1]:.3f}") if ratio else ("", "")


def _accuracy_cells(item: Compared) -> tuple[str, ...]:
    """Returns counts of a user's images; no cells where there are none."""
    counted = item.accuracy
    if counted is None:
        return ()
    counts = (counted.correct, counted.agreeing)
    return tuple("" if count is None else f"{count} of {counted.images}" for count in counts)


def _drift_cells(drift: Drift) -> tuple[str, str, str]:
    agreements = [output.top1_agreement for output in drift.outputs if output.top1_agreement is not None]
    agreements += [decision.agreement for decision in drift.decisions]
    same = f"{min(agreements):.0%}" if agreements else ""
    if not drift.outputs:
        return "", "", same
    worst = max(output.max_rel for output in drift.outputs)
    snr = min(output.snr_db for output in drift.outputs)
    return f"{worst:.0e}", f"{snr:.0f} dB", same
