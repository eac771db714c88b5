"""What an export wrote, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.accuracy import accuracy_lines
from mobilevit_deploy.report.parity import legs_table
from mobilevit_deploy.report.quantization import quantization_summary
from mobilevit_deploy.report.table import checkpoint_rows, make_table, shorten, show_bytes

if TYPE_CHECKING:
    from mobilevit_deploy.export.report import ExportReport
    from mobilevit_deploy.loading.model_head import ModelHead
    from mobilevit_deploy.verification.parity import ParityReport


def export_summary(reports: Sequence[ExportReport], *, published: bool) -> RenderableType:
    """Returns what was exported, what was rewritten, and whether it computes the same."""
    first = reports[0]
    parts: list[RenderableType] = [_weights_line(first)]
    if first.cached:
        parts.append(Text("the same export was kept, with its figures: nothing was computed again (--force does)"))
    parts += [Text(f"{what}: {text}") for what, text in checkpoint_rows(first.weights)]
    parts += [_rewrites_table(report) for report in reports if report.rewrites]
    numbers = ("size", "ops", "seconds")
    table = make_table("target", "precision", *numbers, "parity", "max rel", "SNR", numbers=numbers)
    for report in reports:
        table.add_row(
            report.artifact.target,
            report.precision,
            show_bytes(report.artifact.bytes),
            str(sum(report.artifact.ops.values())),
            f"{sum(report.seconds.values()):.1f}",
            *_parity_cells(report.parity),
        )
    parts.append(table)
    parts += [legs_table(report.parity, f"{report.artifact.target}: {report.artifact.path.name}") for report in reports]
    for report in reports:
        artifact, parity = report.artifact, report.parity
        if parity.status == "not_measured":
            parts.append(Text(f"{artifact.target}: parity not measured: {parity.reason}", style="yellow"))
        parts += [Text(f"{artifact.target}: {line}") for line in _app_lines(report)]
        if artifact.quantization:
            parts.append(quantization_summary(artifact.target, artifact.quantization, artifact.bytes))
        parts += [Text(f"{artifact.target}: {line}") for line in accuracy_lines(report.accuracy)]
        parts.append(Text(f"wrote {artifact.path}" if published else f"not written: {artifact.path.name}"))
    return Group(*parts)


def _weights_line(report: ExportReport) -> RenderableType:
    weights = report.weights
    kind = ", a reconstruction from the paper" if report.reconstruction else ""
    shape = "x".join(map(str, report.input.shape))
    task = f"{report.task} ({report.head.output}, {_classes(report.head)})" if report.head else report.task
    head = f"{report.model}{kind}, {task}, input {shape}, "
    if weights.trained:
        return Text(f"{head}weights: {weights.place}{f', {weights.key}' if weights.key else ''}")
    return Text(f"{head}UNTRAINED: no checkpoint was given (--checkpoint FILE)", style="yellow")


def _classes(head: ModelHead) -> str:
    names = head.classes.names
    named = f": {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" if names else ""
    return f"{head.num_classes} classes{named}"


def _rewrites_table(report: ExportReport) -> RenderableType:
    numbers = ("applied", "refused", "proof (float64)")
    table = make_table(f"rewrites for {report.artifact.target}", *numbers, numbers=numbers)
    for result in report.rewrites:
        if result.applied or result.refused:
            proof = "" if result.max_rel_difference is None else f"{result.max_rel_difference:.0e}"
            table.add_row(result.name, str(len(result.applied)), str(len(result.refused) or ""), proof)
    return table


def _parity_cells(parity: ParityReport) -> tuple[Text, str, str]:
    """Returns the status and the worst figures of the artifact against PyTorch, over all runners and outputs."""
    style = {"passed": "green", "failed": "red", "not_measured": "yellow"}[parity.status]
    own = [leg for leg in parity.legs if leg.subject == "artifact"]
    outputs = [output for leg in own for output in leg.outputs]
    decisions = [item for leg in own for item in leg.decisions]
    if not outputs:
        constant = all(item.name in parity.fixed for item in decisions)
        same = "" if not decisions else "constant" if constant else f"same {min(x.agreement for x in decisions):.0%}"
        return Text(parity.status.replace("_", " "), style=style), same, ""
    worst = max(output.max_rel for output in outputs)
    snr = min(output.snr_db for output in outputs)
    return Text(parity.status, style=style), f"{worst:.0e}", f"{snr:.0f} dB"


def _app_lines(report: ExportReport) -> list[str]:
    """Returns what an app needs to know of a package, and what compression saved."""
    artifact, lines = report.artifact, []
    if image := artifact.app.image:
        lines.append(f"takes a {image.color} image; normalised in the graph by mean {image.mean}, std {image.std}")
    if labels := artifact.app.labels:
        lines.append(f"returns the label and the probabilities of {len(labels)} classes")
    if artifact.entries:
        shapes = [
            "x".join(map(str, entry.shape[2:])) + (f" (function {entry.function})" if entry.function else "")
            for entry in artifact.entries
        ]
        lines.append(f"takes the sizes {', '.join(shapes)}")
    if kept := artifact.app.keep_fp32:
        lines.append(f"float32 in {shorten(kept)}")
    if result := artifact.compression:
        left = ", ".join(f"{show_bytes(size)}: {reason}" for reason, size in result.left_bytes.items())
        lines.append(f"{show_bytes(result.bytes_before)} before compression, {show_bytes(artifact.bytes)} after")
        lines.append(
            f"{show_bytes(result.compressed_bytes)} of weights compressed; left as they were: {left or 'none'}"
        )
    return lines
