"""Where the time goes, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.measurement.profiling.tree import Row, build_tree, by_op, rows
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import with_origin
from mobilevit_deploy.system.environment import count_threads

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.profiling import ProfileReport
    from mobilevit_deploy.measurement.profiling.tflite import TfliteProfile


def profile_table(report: ProfileReport, depth: int) -> RenderableType:
    """Returns the times by module and by op type; the last lines of the tree add up to the whole."""
    peak = report.peak_macs_per_s
    neighbours = report.share(exact=False) - report.share(exact=True)
    cost_us = (report.profiled_run_ms - report.run_ms) / len(report.nodes) * 1e3
    notes = (
        f"all {len(report.nodes)} nodes: {report.nodes_ms:.2f} ms, with what the profiler costs each; a whole run "
        f"without it: {report.run_ms:.2f} ms (fastest {report.fastest_run_ms:.2f}), "
        f"and {report.profiled_run_ms:.2f} ms with it, {cost_us:.1f} us a node",
        f"peak: {peak / 1e9:.1f} GMAC/s, MatMul {'x'.join(map(str, report.peak_shape))}, "
        f"{count_threads(report.threads)}; "
        f"'above peak' is the time beyond the MACs at that rate",
        f"module known for {report.share(exact=False):.1%} of the nodes' time; {neighbours:.1%} are from neighbours",
    )
    return Group(
        Text(with_origin(report.artifact.name), style="bold"),
        _time_table("module", list(rows(build_tree(report.nodes), depth)), report.nodes_ms, peak),
        _time_table("op", by_op(report.nodes), report.nodes_ms, peak),
        *(Text(note, style="dim") for note in notes),
    )


def tflite_profile_table(report: TfliteProfile, depth: int) -> RenderableType:
    """Returns the times of a ``.tflite`` file by module, where any is known, and by kind of operator."""
    where = report.environment
    notes = (
        f"all {len(report.nodes)} operators: {report.nodes_ms:.2f} ms, with what the profiler costs each; a whole run "
        f"without it: {report.run_ms:.2f} ms, and {report.profiled_run_ms:.2f} ms with it; means of {report.runs} runs",
        f"measured on {where['device']}: {where['cpu']}, {count_threads(report.threads)}, {report.delegate}",
        f"module known for {report.module_known:.1%} of the operators' time; a delegate tells none of its own",
    )
    tree = _time_table("module", list(rows(build_tree(report.nodes), depth)), report.nodes_ms, None)
    return Group(
        Text(with_origin(report.artifact.name), style="bold"),
        *([tree] if report.module_known else []),
        _time_table("op", by_op(report.nodes), report.nodes_ms, None),
        *(Text(note, style="dim") for note in notes),
    )


def _time_table(title: str, lines: Sequence[Row], whole_ms: float, peak: float | None) -> ResultTable:
    numbers = ("nodes", "ms", "share", "MMAC", "GMAC/s", *(["above peak ms"] if peak else []))
    table = ResultTable(title, *numbers, numbers=numbers)
    for line in lines:
        table.add_row(
            "  " * line.level + line.label,
            str(line.nodes),
            f"{line.ms:.2f}",
            f"{line.ms / (whole_ms or 1):.1%}",
            f"{line.macs / 1e6:.1f}" if line.macs else "",
            f"{line.macs / line.ms / 1e6:.1f}" if line.macs and line.ms else "",
            *([f"{line.ms - line.macs / peak * 1e3:.2f}"] if peak else []),
        )
    return table
