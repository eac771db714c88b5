"""What a search found, for people: a table, what to do next, and a plot."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.measurement.tuning.search import said
from mobilevit_deploy.report.layout import Facts, ResultTable, command
from mobilevit_deploy.report.table import milliseconds, show_bytes
from mobilevit_deploy.system.environment import count_threads
from mobilevit_deploy.system.publish import publish, staging

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mobilevit_deploy.catalog.tuning import Evidence
    from mobilevit_deploy.measurement.tuning.tune import Tried, TuneReport

INK, FAINT, BEST, OTHER = "#222222", "#d8d8d8", "#0a6b5e", "#777777"
ROW_IN, WIDE_IN = 0.3, 8.0  # inches: of each candidate, and of the plot


def tune_summary(report: TuneReport, plot: Path | None) -> RenderableType:
    """Returns every candidate, a line each; what came of it, what was written, and the next step."""
    images = any(item.made.points_lost is not None for item in report.tried)
    columns = ("size", "of default", "95 % interval", "groups", *(("points lost",) if images else ()))
    table = ResultTable("candidate", *columns, "", numbers=columns)
    for item in sorted(report.tried, key=_order):
        made, ratio = item.made, item.ratio
        interval = f"{ratio.ci95[0]:.3f} to {ratio.ci95[1]:.3f}" if ratio else ""
        cells = (f"{ratio.value:.3f}", interval, str(ratio.groups)) if ratio else ("",) * 3
        lost = ("" if made.points_lost is None else f"{made.points_lost:.2f}",) if images else ()
        size = show_bytes(made.bytes) if made.sha256 else ""
        table.add_row(", ".join(made.changes), size, *cells, *lost, made.refused or "")
    written = {"wrote": str(report.recipe), "": str(report.artifact), " ": str(report.trials)}
    if plot:
        written["  "] = str(plot)
    parts: list[RenderableType] = [table] if report.tried else []
    parts += [*map(Text, _result(report)), Facts(written), Text("next:")]
    return Group(*parts, *(command(text) for text in _next_steps(report)))


def _order(item: Tried) -> tuple[bool, float]:
    """Sorts candidates by their times, and those without behind them."""
    return (item.ratio is None, item.ratio.value if item.ratio else 0.0)


def _result(report: TuneReport) -> list[str]:
    evidence, verdict = report.evidence, report.verdict
    lines = [] if verdict.faster else [verdict.conclusion()]
    if verdict.ratio:
        word = "tuned" if verdict.faster else "  nearest"
        lines.append(f"{word}: {', '.join(evidence.changes)}: {said(verdict.ratio)}{_times(report)}")
    if evidence.points_lost is not None and verdict.faster:
        lines.append(f"  accuracy: {evidence.points_lost:.2f} points less than PyTorch on {evidence.images} images")
    if evidence.session:
        lines.append(f"  the runtime's session: {', '.join(evidence.session)} makes it faster still; that is the app's")
    if verdict.ratio:
        lines.append(f"  {_conditions(evidence)}")
    if not verdict.complete:
        lines.append("  the budget ended before all was tried: the same command goes on, or give a longer --budget")
    return lines


def _times(report: TuneReport) -> str:
    """Returns both medians; nothing where the machine was busy, which is in them and not in their paired ratio."""
    own, default = report.evidence.p50_ms, report.evidence.default_p50_ms
    if report.request.place.warnings or own is None or default is None:
        return ""
    return f", {milliseconds(own)} ms for {milliseconds(default)} ms"


def _conditions(evidence: Evidence) -> str:
    chosen = "runs that had no part in choosing it, in " if evidence.result == "tuned" else ""
    features = f" ({', '.join(evidence.features)})" if evidence.features else ""
    count = f"{evidence.groups} groups of processes, {count_threads(evidence.threads)}"
    return f"{chosen}{count}; {evidence.machine}{features}; {evidence.backend}"


def _next_steps(report: TuneReport) -> list[str]:
    export, evidence = report.request.export, report.evidence
    target, recipe = export.targets[0], shlex.quote(str(report.recipe))
    more = f" --input-size {'x'.join(map(str, export.model.size))}" if export.model.size else ""
    more += f" --checkpoint {shlex.quote(str(export.model.checkpoint))}" if export.model.checkpoint else ""
    if evidence.result == "tuned" and "int8" in evidence.changes and export.calibrate:
        more += f" --precision int8 --calibrate {shlex.quote(str(export.calibrate))}"
    steps = [f"mvd export {shlex.quote(export.model.name)} --to {target} --recipe {recipe}{more}"]
    if format_of(target).worker:
        options = "".join(f" --option {text}" for text in evidence.session)
        steps.append(f"mvd latency {shlex.quote(str(report.artifact))} --threads {evidence.threads}{options}")
    return steps


def write_plot(report: TuneReport) -> Path | None:
    """Draws what was timed beside the trials, as SVG; returns the file, or None where nothing was timed.

    Each candidate has a line, the fastest above, with its interval; where accuracy is known, it is drawn against the
    time as well.

    Raises:
        OutputError: the folder cannot be written.
    """
    timed = sorted((item for item in report.tried if item.ratio), key=_order)
    if not timed:
        return None
    name = report.trials.name.removesuffix(".trials.jsonl") + ".tuning.svg"
    with staging(report.trials.parent) as work:
        (work / name).write_text(_draw(timed, report), encoding="utf-8")
        publish(work, report.trials.parent)
    return report.trials.parent / name


def _draw(timed: Sequence[Tried], report: TuneReport) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    lost = [item for item in timed if item.made.points_lost is not None]
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "mvd", "font.size": 9, "text.parse_math": False}
    with matplotlib.rc_context(style):
        height = 1.4 + ROW_IN * len(timed)
        figure = Figure(figsize=(WIDE_IN, height + (3.0 if lost else 0.0)), layout="constrained")
        canvas: Any = FigureCanvasSVG(figure)  # its methods have no types
        axes = figure.subplots(2 if lost else 1, squeeze=False, height_ratios=[height, 3.0] if lost else [height])[:, 0]
        _draw_times(axes[0], timed, report)
        if lost:
            _draw_accuracy(axes[1], lost, report)
        file = io.StringIO()
        canvas.print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return file.getvalue()


def _draw_times(axes: Axes, timed: Sequence[Tried], report: TuneReport) -> None:
    rows = list(range(len(timed)))
    for row, item in zip(rows, timed, strict=True):
        _point(axes, item, row, report)
    axes.set_yticks(rows, [f"{', '.join(item.made.changes)} ({show_bytes(item.made.bytes)})" for item in timed])
    axes.set_ylim(len(timed) - 0.5, -0.5)
    evidence = report.evidence
    axes.set_title(f"{evidence.model}, {evidence.backend}, {count_threads(evidence.threads)}\n{evidence.machine}")
    _finish(axes)


def _draw_accuracy(axes: Axes, lost: Sequence[Tried], report: TuneReport) -> None:
    for item in lost:
        _point(axes, item, item.made.points_lost or 0.0, report)
    axes.set_ylabel("points of accuracy lost")
    axes.invert_yaxis()
    _finish(axes)


def _point(axes: Axes, item: Tried, y: float, report: TuneReport) -> None:
    assert item.ratio
    value, (low, high) = item.ratio.value, item.ratio.ci95
    best = report.verdict.faster and item.made.changes == report.evidence.changes
    colour = BEST if best else OTHER
    axes.errorbar(value, y, xerr=[[value - low], [high - value]], marker="o", color=colour, capsize=3, elinewidth=1)


def _finish(axes: Axes) -> None:
    axes.axvline(1.0, color=INK, linewidth=1)
    axes.set_xlabel("time, of the default recipe's: median and 95 % interval")
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
