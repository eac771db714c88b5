"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mobilevit_deploy.catalog import ModelCard
    from mobilevit_deploy.export import ExportReport
    from mobilevit_deploy.latency import LatencyReport
    from mobilevit_deploy.parity import ParityReport
    from mobilevit_deploy.support import Diagnosis


def _table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
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
    numbers = ("parameters", "MACs", "published top-1")
    table = _table("model", "family", *numbers, "tasks", "note", numbers=numbers)
    for card in cards:
        table.add_row(
            card.name,
            card.family.family,
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
        "input": f"{family.input.default_size} px, any size divisible by {family.input.multiple_of}",
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


def export_summary(reports: Sequence[ExportReport], *, published: bool) -> RenderableType:
    """Returns what was exported, what was rewritten, and whether it computes the same."""
    first = reports[0]
    parts: list[RenderableType] = [_weights_line(first)]
    if first.weights.not_loaded:
        parts.append(Text(f"not loaded from the checkpoint: {_shorten(first.weights.not_loaded)}"))
    for report in reports:
        if report.rewrites:
            parts.append(_rewrites_table(report))
    numbers = ("size", "ops", "seconds")
    table = _table("artifact", "precision", *numbers, "parity", numbers=numbers)
    for report in reports:
        table.add_row(
            str(report.artifact.path) if published else f"{report.artifact.path.name} (not written)",
            report.precision,
            f"{report.artifact.bytes / 2**20:.1f} MB",
            str(sum(report.artifact.ops.values())),
            f"{sum(report.seconds.values()):.1f}",
            _parity_text(report.parity),
        )
    return Group(*parts, table)


def _weights_line(report: ExportReport) -> RenderableType:
    weights = report.weights
    kind = ", a reconstruction from the paper" if report.reconstruction else ""
    shape = "x".join(map(str, report.input.shape))
    head = f"{report.model}{kind}, {report.task}, input {shape}, "
    if weights.trained:
        return Text(f"{head}weights: {weights.path}{f', {weights.key}' if weights.key else ''}")
    return Text(f"{head}UNTRAINED: the weights are random (give --checkpoint FILE)", style="yellow")


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


def _parity_text(parity: ParityReport) -> Text:
    if parity.status == "not_measured":
        return Text(f"not measured: {parity.reason}", style="yellow")
    outputs = [output for leg in parity.legs for output in leg.outputs]
    figures = f"max {max((o.max_rel for o in outputs), default=0):.0e}, SNR {min((o.snr_db for o in outputs), default=0):.0f} dB"
    style = "green" if parity.status == "passed" else "red"
    return Text(f"{parity.status} on {parity.legs[0].samples} images: {figures}", style=style)


def latency_table(reports: Sequence[LatencyReport]) -> RenderableType:
    """Returns the latencies of all artifacts."""
    numbers = ("threads", "p50", "95 % interval", "p90", "p99", "runs", "load", "memory")
    table = _table("artifact", "provider", *numbers, "stable", numbers=numbers)
    for report in reports:
        s = report.statistics
        table.add_row(
            report.artifact.name,
            report.provider,
            str(report.threads),
            f"{s.p50_ms:.2f} ms",
            f"{s.ci95_ms[0]:.2f} to {s.ci95_ms[1]:.2f}",
            f"{s.p90_ms:.2f}",
            f"{s.p99_ms:.2f}",
            str(len(report.samples_ms)),
            f"{report.load_ms:.0f} ms",
            f"{report.peak_rss_mb:.0f} MB" if report.peak_rss_mb else "unknown",
            Text("yes", style="green") if report.stable else Text("no", style="yellow"),
        )
    machine = reports[0].environment
    versions = machine["versions"]
    note = f"{machine['cpu']}, {machine['cores_available']} cores; onnxruntime {versions['onnxruntime']}"
    return Group(table, Text(note, style="dim"))


def diagnosis_table(diagnosis: Diagnosis) -> RenderableType:
    """Returns versions and abilities."""
    versions = _table("package", "version")
    for name, version in diagnosis.versions.items():
        versions.add_row(name, version or Text("not installed", style="yellow"))
    abilities = _table("", "here", "why")
    for ability in diagnosis.abilities:
        abilities.add_row(ability.name, Text("yes", "green") if ability.works else Text("no", "yellow"), ability.detail)
    return Group(versions, abilities)
