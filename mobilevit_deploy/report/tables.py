"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mobilevit_deploy.catalog import is_reconstruction
from mobilevit_deploy.report.quantization import quantization_summary

if TYPE_CHECKING:
    from mobilevit_deploy.accuracy import Accuracy
    from mobilevit_deploy.catalog import InputRule, ModelCard
    from mobilevit_deploy.divergence import Divergence
    from mobilevit_deploy.export import ExportReport
    from mobilevit_deploy.inspection import Inspection
    from mobilevit_deploy.latency import LatencyReport
    from mobilevit_deploy.parity import ParityReport
    from mobilevit_deploy.profiling import ProfileReport
    from mobilevit_deploy.profiling.tree import Row
    from mobilevit_deploy.support import Diagnosis
    from mobilevit_deploy.verify import VerifyReport


def _table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = column in numbers
        whole = number or column == "model"  # numbers and model names are for copying: never broken across lines
        table.add_column(column, justify="right" if number else "left", no_wrap=whole, overflow="fold")
    return table


def card_document(card: ModelCard) -> dict[str, Any]:
    """Returns what `mvd list` says of one model."""
    return {
        "name": card.name,
        "family": card.family.family,
        "parameters": card.variant.parameters,
        "macs": card.variant.macs,
        "published": [item.model_dump() for item in card.variant.published],
        "reconstruction": card.family.reconstruction,
        "tasks": list(card.family.tasks),
    }


def models_table(cards: Sequence[ModelCard]) -> RenderableType:
    """Returns the catalog."""
    numbers = ("parameters", "MACs")
    table = _table("model", *numbers, "published top-1", "tasks", "note", numbers=numbers)
    for card in cards:
        table.add_row(
            card.name,
            f"{card.variant.parameters / 1e6:.2f} M",
            f"{card.variant.macs / 1e9:.3f} G",
            _published(card),
            ", ".join(card.family.tasks),
            "reconstruction" if card.family.reconstruction else "",
        )
    return table


def _published(card: ModelCard) -> str:
    return ", ".join(f"{item.top1_percent:.1f} % @{item.input_size}" for item in card.variant.published) or "none"


def card_table(card: ModelCard) -> RenderableType:
    """Returns one card, whole."""
    family, variant = card.family, card.variant
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "model": card.name,
        "paper": f"{family.title}\n{family.paper}",
        "code": f"{family.repository or 'none published'}{f' @ {family.commit[:12]}' if family.commit else ''}",
        "licence": family.licence or "unknown",
        "reconstruction": "yes: not the authors' code" if family.reconstruction else "no",
        "tasks": ", ".join(family.tasks),
        "input": f"{family.input.default_size} px; {_sizes(family.input)}",
        "parameters": f"{variant.parameters:,}",
        "MACs at 224 px": f"{variant.macs:,}",
        "published top-1": _published(card),
        "preprocessing": f"{family.preprocessing.description}; {family.preprocessing.interpolation}; "
        f"mean {family.preprocessing.mean}, std {family.preprocessing.std}",
        "architecture": ", ".join(f"{key} {value}" for key, value in variant.architecture.items()),
    }
    for key, value in rows.items():
        table.add_row(key, value)
    return table


def _sizes(rule: InputRule) -> str:
    words = {task: f"any size divisible by {n}" if n > 1 else "any size" for task, n in rule.multiple_of.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "; ".join(f"{task}: {text}" for task, text in words.items())


def export_summary(reports: Sequence[ExportReport], *, published: bool) -> RenderableType:
    """Returns what was exported, what was rewritten, and whether it computes the same."""
    first = reports[0]
    parts: list[RenderableType] = [_weights_line(first)]
    if first.weights.not_loaded:
        parts.append(Text(f"not loaded from the checkpoint: {_shorten(first.weights.not_loaded)}"))
    parts += [_rewrites_table(report) for report in reports if report.rewrites]
    numbers = ("size", "ops", "seconds")
    table = _table("target", "precision", *numbers, "parity", "max rel", "SNR", numbers=numbers)
    for report in reports:
        table.add_row(
            report.artifact.target,
            report.precision,
            f"{report.artifact.bytes / 2**20:.1f} MB",
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
            parts.append(quantization_summary(artifact.quantization, artifact.bytes))
        parts += [Text(f"{artifact.target}: {line}") for line in _accuracy_lines(report.accuracy)]
        parts.append(Text(f"wrote {artifact.path}" if published else f"not written: {artifact.path.name}"))
    return Group(*parts)


def legs_table(parity: ParityReport, title: str) -> RenderableType:
    """Returns every leg with its worst figures and what was allowed; and in one line each, what was not run."""
    numbers = ("images", "max rel", "allowed", "SNR", "allowed ", "same class")
    several = len({leg.size for leg in parity.legs}) > 1
    table = _table("", *["size"][: int(several)], "against", "run by", "precision", *numbers, "", numbers=numbers)
    for leg in parity.legs:
        outputs = leg.outputs
        agreements = [item.top1_agreement for item in outputs if item.top1_agreement is not None]
        table.add_row(
            leg.subject,
            *[f"{leg.size[0]}x{leg.size[1]}"][: int(several)],
            leg.reference,
            " ".join([leg.runner, *(value for key, value in leg.settings.items() if key != "function")]),
            leg.precision,
            str(leg.samples),
            f"{max(item.max_rel for item in outputs):.0e}" if outputs else "",
            f"{leg.tolerance.max_rel:.0e}",
            f"{min(item.snr_db for item in outputs):.0f} dB" if outputs else "",
            f"{leg.tolerance.snr_db:.0f} dB",
            f"{min(agreements):.0%}" if agreements else "",
            Text("passed", style="green") if leg.passed else Text("FAILED", style="red"),
        )
    reasons: dict[str, list[str]] = {}
    for missing in parity.not_run:
        reasons.setdefault(missing.reason, []).append(
            " ".join([missing.runner or missing.subject, *missing.settings.values()])
        )
    lines = [
        Text(f"not run: {', '.join(dict.fromkeys(names))}: {reason}", style="yellow")
        for reason, names in reasons.items()
    ]
    return Group(Text(title, style="bold"), table, *lines) if parity.legs else Group(*lines)


def _accuracy_lines(accuracy: Accuracy | None) -> list[str]:
    """Returns what the user's own images say."""
    if accuracy is None:
        return []
    count = accuracy.images
    lines = [f"on {count} of your images the same class as PyTorch for {accuracy.agreeing}"]
    if accuracy.reference_correct is not None and accuracy.artifact_correct is not None:
        before, after = accuracy.reference_correct, accuracy.artifact_correct
        lines.append(f"top-1 on them: PyTorch {before / count:.1%} ({before}), this file {after / count:.1%} ({after})")
    return lines


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
        lines.append(f"float32 in {_shorten(kept)}")
    if result := artifact.compression:
        left = ", ".join(f"{size / 2**20:.2f} MB: {reason}" for reason, size in result.left_bytes.items())
        lines.append(f"{result.bytes_before / 2**20:.1f} MB before compression, {artifact.bytes / 2**20:.1f} MB after")
        lines.append(
            f"{result.compressed_bytes / 2**20:.2f} MB of weights compressed; left as they were: {left or 'none'}"
        )
    return lines


def _weights_line(report: ExportReport) -> RenderableType:
    weights = report.weights
    kind = ", a reconstruction from the paper" if report.reconstruction else ""
    shape = "x".join(map(str, report.input.shape))
    head = f"{report.model}{kind}, {report.task}, input {shape}, "
    if weights.trained:
        return Text(f"{head}weights: {weights.path}{f', {weights.key}' if weights.key else ''}")
    return Text(f"{head}UNTRAINED: no checkpoint was given (--checkpoint FILE)", style="yellow")


def _shorten(names: Sequence[str], count: int = 8) -> str:
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


def _rewrites_table(report: ExportReport) -> RenderableType:
    numbers = ("applied", "refused", "proof (float64)")
    table = _table(f"rewrites for {report.artifact.target}", *numbers, numbers=numbers)
    for result in report.rewrites:
        if result.applied or result.refused:
            proof = "" if result.max_rel_difference is None else f"{result.max_rel_difference:.0e}"
            table.add_row(result.name, str(len(result.applied)), str(len(result.refused) or ""), proof)
    return table


def _parity_cells(parity: ParityReport) -> tuple[Text, str, str]:
    """Returns the status and the worst figures of the artifact against PyTorch, over all runners and outputs."""
    style = {"passed": "green", "failed": "red", "not_measured": "yellow"}[parity.status]
    outputs = [output for leg in parity.legs if leg.subject == "artifact" for output in leg.outputs]
    if not outputs:
        return Text(parity.status.replace("_", " "), style=style), "", ""
    worst = max(output.max_rel for output in outputs)
    snr = min(output.snr_db for output in outputs)
    return Text(parity.status, style=style), f"{worst:.0e}", f"{snr:.0f} dB"


def _with_origin(name: str) -> str:
    """Returns a model's or artifact's name, with a word where it is not its authors' code."""
    return f"{name} (a reconstruction)" if is_reconstruction(Path(name).name) else name


def latency_table(reports: Sequence[LatencyReport]) -> RenderableType:
    """Returns the latencies of all artifacts, in milliseconds."""
    numbers = ("p50 ms", "95 % interval", "p90", "p99", "per s", "load", "again", "MB")
    table = _table("artifact", *numbers, "stable", numbers=numbers)
    for report in reports:
        s = report.statistics
        table.add_row(
            _with_origin(report.artifact.name),
            f"{s.p50_ms:.2f}",
            f"{s.ci95_ms[0]:.2f} to {s.ci95_ms[1]:.2f}",
            f"{s.p90_ms:.2f}",
            f"{s.p99_ms:.2f}",
            f"{report.throughput_per_s:.1f}",
            f"{report.load_ms:.0f}",
            f"{report.second_load_ms:.0f}",
            f"{report.peak_rss_mb:.0f}" if report.peak_rss_mb else "unknown",
            Text("yes", style="green") if report.stable else Text("no", style="yellow"),
        )
    first, machine = reports[0], reports[0].environment
    settings = {**machine["session_options"], **machine["provider_options"], **machine["variables"]}
    note = (
        f"{first.provider}, {first.threads} threads, batch {first.batch}; {machine['cpu']}, "
        f"{machine['cores_available']} cores available; onnxruntime {machine['versions']['onnxruntime']}"
        + "".join(f"; {key}={value}" for key, value in settings.items())
    )
    return Group(table, Text(note, style="dim"))


def inspection_table(inspection: Inspection) -> RenderableType:
    """Returns the ops before and after, then the findings, each rule's source once."""
    parts: list[RenderableType] = [Text(f"{_with_origin(inspection.name)} for {inspection.target}", style="bold")]
    if inspection.ops_before:
        ops = _table("op (ATen)", "before", "after", numbers=("before", "after"))
        for name in dict.fromkeys([*inspection.ops_before, *inspection.ops_after]):
            ops.add_row(name, str(inspection.ops_before.get(name, "")), str(inspection.ops_after.get(name, "")))
        parts.append(ops)
    if inspection.ops:
        parts.append(Text("artifact: " + ", ".join(f"{name} {count}" for name, count in inspection.ops.items())))
    if inspection.conversion_error:
        parts.append(Text(f"the converter refuses the graph: {inspection.conversion_error}", style="red"))
    if inspection.findings_before:
        parts.append(Text(f"findings before rewriting: {len(inspection.findings_before)}"))
    if inspection.clean:
        return Group(*parts, Text("no findings", style="green"))
    if not inspection.findings:
        return Group(*parts)
    table = _table("finding", "op", "at", "detail")
    for finding in inspection.findings:
        table.add_row(finding.rule, finding.op, finding.at, finding.detail)
    sources = {finding.rule: finding.source for finding in inspection.findings}
    return Group(*parts, table, *(Text(f"{rule}: {source}", style="dim") for rule, source in sources.items()))


def diagnosis_table(diagnosis: Diagnosis) -> RenderableType:
    """Returns versions and abilities."""
    versions = _table("package", "version")
    for name, version in diagnosis.versions.items():
        versions.add_row(name, version or Text("not installed", style="yellow"))
    abilities = _table("", "here", "why")
    for ability in diagnosis.abilities:
        abilities.add_row(ability.name, Text("yes", "green") if ability.works else Text("no", "yellow"), ability.detail)
    return Group(versions, abilities)


def verify_summary(report: VerifyReport) -> RenderableType:
    """Returns what was found of one artifact on disk."""
    weights = report.weights
    origin = f"weights: {weights.path}" if weights.trained else "UNTRAINED"
    parts: list[RenderableType] = [
        Text(
            f"{_with_origin(report.model)}, {origin}; {report.precision}, {report.bytes / 2**20:.1f} MB, "
            f"{report.seconds:.1f} s"
        ),
        legs_table(report.parity, report.artifact.name),
        *(Text(line) for line in _accuracy_lines(report.accuracy)),
    ]
    if report.divergence:
        parts += _divergence_lines(report.divergence)
    elif report.located and report.parity.status == "passed":
        parts.append(Text("no module diverges beyond the tolerance", style="green"))
    return Group(*parts)


def _divergence_lines(divergence: Divergence) -> list[RenderableType]:
    where = f" ({divergence.line})" if divergence.line else ""
    return [
        Text(f"first divergence: {divergence.module or 'the model itself'}, {divergence.op}{where}", style="bold red"),
        Text(f"{divergence.kind}: {divergence.detail}"),
        Text(
            f"in the artifact {divergence.name}, a {divergence.artifact_op}; "
            f"{divergence.compared} of its {divergence.computed} values were compared",
            style="dim",
        ),
    ]


def profile_table(report: ProfileReport, depth: int) -> RenderableType:
    """Returns the times by module and by op type; the last lines of the tree add up to the whole."""
    from mobilevit_deploy.profiling.tree import build_tree, by_op, rows

    peak = report.peak_macs_per_s
    neighbours = report.share(exact=False) - report.share(exact=True)
    cost_us = (report.profiled_run_ms - report.run_ms) / len(report.nodes) * 1e3
    notes = (
        f"all {len(report.nodes)} nodes: {report.nodes_ms:.2f} ms; a whole run, with what is between nodes: "
        f"{report.run_ms:.2f} ms (fastest {report.fastest_run_ms:.2f}), "
        f"and {report.profiled_run_ms:.2f} ms with the profiler, {cost_us:.1f} us a node",
        f"peak: {peak / 1e9:.1f} GMAC/s, MatMul {'x'.join(map(str, report.peak_shape))}, {report.threads} threads; "
        f"'above peak' is the time beyond the MACs at that rate",
        f"module known for {report.share(exact=False):.1%} of the nodes' time; {neighbours:.1%} are from neighbours",
    )
    return Group(
        Text(_with_origin(report.artifact.name), style="bold"),
        _time_table("module", list(rows(build_tree(report.nodes), depth)), report.nodes_ms, peak),
        _time_table("op", by_op(report.nodes), report.nodes_ms, peak),
        *(Text(note, style="dim") for note in notes),
    )


def _time_table(title: str, lines: Sequence[Row], whole_ms: float, peak: float) -> Table:
    numbers = ("nodes", "ms", "share", "MMAC", "GMAC/s", "above peak ms")
    table = _table(title, *numbers, numbers=numbers)
    for line in lines:
        table.add_row(
            "  " * line.level + line.label,
            str(line.nodes),
            f"{line.ms:.2f}",
            f"{line.ms / (whole_ms or 1):.1%}",
            f"{line.macs / 1e6:.1f}" if line.macs else "",
            f"{line.macs / line.ms / 1e6:.1f}" if line.macs and line.ms else "",
            f"{line.ms - line.macs / peak * 1e3:.2f}",
        )
    return table
