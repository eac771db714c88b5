"""What an export wrote, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.formats import format_of, target_of
from mobilevit_deploy.report.accuracy import accuracy_lines
from mobilevit_deploy.report.interface import Interface, read_interface
from mobilevit_deploy.report.layout import INDENT, Facts, ResultTable, command
from mobilevit_deploy.report.parity import explanations, legs_table, parity_text
from mobilevit_deploy.report.quantization import quantization_summary
from mobilevit_deploy.report.table import checkpoint_rows, precision_name, share, shorten, show_bytes

if TYPE_CHECKING:
    from mobilevit_deploy.export.report import ExportReport
    from mobilevit_deploy.loading.model_head import ModelHead
    from mobilevit_deploy.rewrites.rewrite import RewriteResult

MOST_REWRITES = 4


def export_summary(reports: Sequence[ExportReport], *, published: bool, verbose: bool = False) -> RenderableType:
    """Returns what was written, what an app has to know of it, whether it computes the same, and what to type next.

    Args:
        reports: of one export.
        published: whether the files are there.
        verbose: with each rewrite, and each comparison with PyTorch.
    """
    first = reports[0]
    parts: list[RenderableType] = [_weights_line(first)]
    if first.cached:
        parts.append(Text("the same export was kept, with its figures: nothing was computed again (--force does)"))
    parts += [Text(f"{what}: {text}") for what, text in checkpoint_rows(first.weights)]
    read = [read_interface(report.artifact.path, verbose=verbose) for report in reports] if published else []
    interfaces = [_without_kind(item) for item in read] or [{} for _ in reports]
    shared = interfaces[0] if interfaces.count(interfaces[0]) == len(interfaces) else {}
    names = ", ".join(report.artifact.path.name for report in reports)
    parts += [Facts(shared, INDENT, {"artifact": names})] if shared else []
    parts += _rewrites(reports, verbose=verbose)
    for report, interface in zip(reports, interfaces, strict=True):
        artifact, parity = report.artifact, report.parity
        parts.append(
            Text(f"wrote {artifact.path}" if published else f"not written: {artifact.path.name}", style="bold")
        )
        own = {} if shared else interface
        facts: dict[str, str | Text] = {"is": _is(report), **own, "parity": parity_text(parity, report.precision)}
        parts.append(Facts(facts, INDENT, {"artifact": artifact.path.name}))
        parts += [Text(f"{artifact.target}: {line}") for line in _app_lines(report)]
        if artifact.quantization:
            parts.append(quantization_summary(artifact.target, artifact.quantization, artifact.bytes))
        parts += [Text(f"{artifact.target}: {line}") for line in accuracy_lines(report.accuracy)]
        if verbose or parity.status == "failed":
            parts.append(legs_table(parity, f"{artifact.target}: {artifact.path.name}"))
        else:
            parts += [Text(f"{artifact.target}: {line}") for line in explanations(parity)]
    if published:
        answering = [report.artifact.path for report, item in zip(reports, read, strict=True) if item.answers]
        parts += next_commands([report.artifact.path for report in reports], answering, prepares=read[0].prepares)
    return Group(*parts)


def next_commands(paths: Sequence[Path], answering: Sequence[Path], *, prepares: bool) -> list[RenderableType]:
    """Returns what to type after files were written: to look at an answer, to measure one, and for a page of all.

    Args:
        paths: of the files.
        answering: those of them that have an answer about a picture.
        prepares: whether the first of them says how its images are normalised.
    """
    files = " ".join(quote(str(path)) for path in answering)
    timed = next((path for path in paths if format_of(target_of(path)).worker), None)
    given = "" if prepares else " --mean M,M,M --std S,S,S"
    commands = [
        *([f"mvd predict {files} PICTURE{given}"] if answering else []),
        *([f"mvd latency {quote(str(timed))}"] if timed else []),
        f"mvd report {quote(str(paths[0].parent))}",
    ]
    return [Text("next:"), *map(command, commands)]


def _without_kind(interface: Interface) -> dict[str, str]:
    """Returns what an app has to know of a file; what the file is stands in the report too, with more."""
    return {key: text for key, text in interface.facts.items() if key != "is"}


def _is(report: ExportReport) -> str:
    artifact = report.artifact
    version = "".join(f" {name} {number}" for name, number in report.version.items())
    kind = f"{format_of(artifact.target).title}{version}, {precision_name(report.precision)}"
    count, seconds = sum(artifact.ops.values()), sum(report.seconds.values())
    return f"{kind}, {show_bytes(artifact.bytes)}, {count} operations; made in {seconds:.1f} s"


def _weights_line(report: ExportReport) -> RenderableType:
    weights = report.weights
    kind = ", a reconstruction from the paper" if report.reconstruction else ""
    shape = "x".join(map(str, report.input.shape))
    task = f"{report.task} ({report.head.output}, {_classes(report.head)})" if report.head else report.task
    head = f"{report.model}{kind}, {task}, input {shape}, "
    if weights.trained:
        return Text(f"{head}weights: {weights.place}{f', {weights.key}' if weights.key else ''}")
    own = "" if report.model in catalog.models() else ", or --trained 'where from' where the code loads its own"
    return Text(f"{head}UNTRAINED: no checkpoint was given (--checkpoint FILE{own})", style="yellow")


def _classes(head: ModelHead) -> str:
    names = head.classes.names
    named = f": {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" if names else ""
    return f"{head.num_classes} classes{named}"


def _rewrites(reports: Sequence[ExportReport], *, verbose: bool) -> list[RenderableType]:
    """Returns what was rewritten, once where it is the same for all targets: a line, or a table and all refusals."""
    alike: dict[str, list[str]] = {}
    shown: dict[str, list[RenderableType]] = {}
    for report in reports:
        line = _rewrites_line(report.rewrites)
        alike.setdefault(line, []).append(report.artifact.target)
        shown[line] = _rewrites_table(report.rewrites) if verbose else [Text(line)]
    parts: list[RenderableType] = []
    for line, targets in alike.items():
        if line:
            title = "rewrites" if len(alike) == 1 else f"rewrites for {', '.join(targets)}"
            parts += [Text(title), *shown[line]] if verbose else [Text(f"{title}: {line}")]
    return parts


def _rewrites_line(results: Sequence[RewriteResult]) -> str:
    """Returns how many places were rewritten, how far that was proved, and why others were not."""
    applied = {result.name: len(result.applied) for result in results if result.applied}
    proofs = [result.max_rel_difference for result in results if result.applied and result.max_rel_difference]
    lines = []
    if applied:
        names = shorten([f"{name} {count}" for name, count in applied.items()], MOST_REWRITES)
        count, far = sum(applied.values()), max(proofs, default=0.0)
        places = f"{count} place{'' if count == 1 else 's'} ({names})"
        lines.append(f"{places}, {f'the same in float64 to {share(far)}' if far else 'exactly the same in float64'}")
    for result in results:
        if result.refused:
            places = f"{len(result.refused)} place{'' if len(result.refused) == 1 else 's'}"
            lines.append(f"{result.name} left {places} alone: {result.refused[0].reason}")
    return "; ".join(lines)


def _rewrites_table(results: Sequence[RewriteResult]) -> list[RenderableType]:
    numbers = ("applied", "left alone", "proof (float64)")
    table = ResultTable("rewrite", *numbers, numbers=numbers)
    refusals: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.applied or result.refused:
            proof = "" if result.max_rel_difference is None else share(result.max_rel_difference)
            table.add_row(result.name, str(len(result.applied)), str(len(result.refused) or ""), proof)
        for refused in result.refused:
            refusals.setdefault((result.name, refused.reason), []).append(refused.at)
    return [table, *(Text(f"{name}: {why}: {shorten(at)}") for (name, why), at in refusals.items())]


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
