"""The page's tables: what stands in each cell, as plain text that the template escapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mobilevit_deploy.export.records import ExportRecord, IllConditioned, LatencyRecord, Leg, Settings
from mobilevit_deploy.loading.weights_origin import VOUCHED
from mobilevit_deploy.report.page.folder import Artifact
from mobilevit_deploy.report.page.frontier import Group, conditions, runs_on
from mobilevit_deploy.report.table import checkpoint_rows, milliseconds, precision_name, show_bytes

Tone = Literal["", "good", "bad", "doubt"]
LONGEST_LIST = 8
LONG_TEXT = 60  # characters; on a phone it stands below its column's name and not beside it
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Cell:
    """One cell; ``link`` is the id of a section of the page."""

    text: str
    tone: Tone = ""
    link: str = ""

    @property
    def length(self) -> str:
        """Returns the style class that the text's length asks for."""
        return "" if 0 < len(self.text) <= LONG_TEXT else "long" if self.text else "empty"


Row = Sequence[Cell | str]


@dataclass(frozen=True)
class Table:
    """A table with a header above each column; the first cell of a row is its header."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[str] = frozenset()


def _table(caption: str, columns: Sequence[str], rows: Iterable[Row], numbers: str = "") -> Table:
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    return Table(caption, columns, cells, frozenset(numbers.split("|")))


def summary(artifacts: Sequence[Artifact]) -> Table:
    """Returns a line for each artifact."""
    columns = ("artifact", "weights", "target", "input", "size", "parity", "SNR", "p50", "published top-1")
    rows = [
        (
            Cell(f"{number}. {artifact.name}", link=f"artifact-{number}"),
            weights_cell(artifact),
            f"{artifact.record.target}{NO_BREAK}{artifact.record.precision}",
            shape_text(artifact.record.input.shape),
            show_bytes(artifact.record.bytes),
            parity_cell(artifact.record),
            _worst_snr(artifact.record),
            "\n".join(_short(latency) for latency in artifact.latencies) or "not measured",
            published_text(artifact) if artifact.published.top1_percent is not None else "none",
        )
        for number, artifact in enumerate(artifacts, 1)
    ]
    return _table("All artifacts", columns, rows, "size|SNR|published top-1")


def weights_cell(artifact: Artifact) -> Cell:
    """Returns whether the weights are trained, and whether the architecture is its authors'."""
    origin = " (a reconstruction)" if artifact.record.reconstruction else ""
    words: dict[bool | None, Cell] = {
        None: Cell(f"unknown{origin}", "doubt"),
        False: Cell(f"UNTRAINED{origin}", "doubt"),
    }
    word = VOUCHED if artifact.record.weights and artifact.record.weights.vouched else ""
    return words.get(artifact.trained) or Cell(f"trained{word}{origin}")


def checkpoint(record: ExportRecord) -> list[tuple[str, str]]:
    """Returns what of the checkpoint was not taken, and what was done to its names."""
    return checkpoint_rows(record.weights) if record.weights else []


def parity_cell(record: ExportRecord) -> Cell:
    """Returns the status of the comparison with PyTorch."""
    if record.parity is None:
        return Cell("unknown", "doubt")
    tones: dict[str, Tone] = {"passed": "good", "failed": "bad", "not_measured": "doubt"}
    return Cell(record.parity.status.replace("_", " "), tones[record.parity.status])


def _worst_snr(record: ExportRecord) -> str:
    values = [leg.snr_db for leg in record.parity.legs if leg.subject == "artifact"] if record.parity else []
    known = [value for value in values if value is not None]
    return f"{min(known):.0f} dB" if known else ""


def _short(latency: LatencyRecord) -> str:
    doubt = "" if latency.stable else ", not stable"
    return f"{milliseconds(latency.p50_ms)} ms, {runs_on(latency)}{doubt}".replace(" ", NO_BREAK)


def published_text(artifact: Artifact) -> str:
    """Returns the authors' accuracy, or why there is none."""
    published = artifact.published
    return f"{published.top1_percent:.1f} %" if published.top1_percent is not None else published.reason or "none"


def shape_text(shape: Sequence[int]) -> str:
    """Returns a shape as 1x3x224x224."""
    return "x".join(map(str, shape))


def settings_text(settings: Settings) -> str:
    """Returns names and values between commas."""
    return ", ".join(f"{name} {value if value is not None else 'not installed'}" for name, value in settings.items())


def latencies(group: Group, artifacts: Sequence[Artifact]) -> Table:
    """Returns the measurements under one set of conditions, the fastest first."""
    columns = ("artifact", "p50 ms", "95 % interval", "p90", "p99", "per s", "load ms", "memory MB", "runs", "stable")
    found = [
        (latency, number, artifact)
        for number, artifact in enumerate(artifacts, 1)
        for latency in artifact.latencies
        if conditions(latency) == group.title
    ]
    rows: list[Row] = [
        (
            Cell(f"{number}. {artifact.name}", link=f"artifact-{number}"),
            milliseconds(latency.p50_ms),
            f"{milliseconds(latency.ci95_ms[0])} to {milliseconds(latency.ci95_ms[1])}",
            *(_number(value, 2) for value in (latency.p90_ms, latency.p99_ms)),
            _number(latency.throughput_per_s, 1),
            *(_number(value, 0) for value in (latency.load_ms, latency.peak_rss_mb)),
            _runs(latency),
            Cell("yes", "good") if latency.stable else Cell("no", "doubt"),
        )
        for latency, number, artifact in sorted(found, key=lambda item: (item[0].p50_ms, item[1]))
    ]
    return _table("Latency", columns, rows, "|".join(columns[1:-1]))


def doubts(group: Group, artifacts: Sequence[Artifact]) -> Table | None:
    """Returns why measurements under one set of conditions may not be cited; None where all may."""
    rows = [
        (f"{number}. {artifact.name}", "; ".join(latency.warnings) or "the report does not say")
        for number, artifact in enumerate(artifacts, 1)
        for latency in artifact.latencies
        if conditions(latency) == group.title and not latency.stable
    ]
    return _table("Not stable, so not to be cited", ("artifact", "why"), rows) if rows else None


def recommendations(group: Group, artifacts: Sequence[Artifact]) -> list[str]:
    """Returns settings that may make measurements under one set of conditions faster, each once."""
    found = [
        text
        for artifact in artifacts
        for latency in artifact.latencies
        if conditions(latency) == group.title
        for text in latency.recommendations
    ]
    return list(dict.fromkeys(found))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _runs(latency: LatencyRecord) -> str:
    if latency.iterations is None:
        return ""
    return str(latency.iterations) + (f" in {latency.processes} processes" if latency.processes else "")


def stale_latencies(artifacts: Sequence[Artifact]) -> Table | None:
    """Returns the measurements of files that were replaced since; None when there are none."""
    rows = [
        (f"{number}. {artifact.name}", milliseconds(item.p50_ms), conditions(item), Cell(item.sha256[:12], "doubt"))
        for number, artifact in enumerate(artifacts, 1)
        for item in artifact.stale
    ]
    columns = ("artifact", "p50 ms", "conditions", "sha256 of what was measured")
    return _table("Stale: measured before the file was replaced", columns, rows, "p50 ms") if rows else None


def plotted(group: Group) -> Table:
    """Returns the plot's points as a table."""
    rows = [
        (
            Cell(f"{point.number}. {point.artifact.name}", link=f"artifact-{point.number}"),
            milliseconds(point.latency.p50_ms),
            f"{point.top1_percent:.1f}",
            Cell("yes", "good") if point.best else "",
        )
        for point in group.points
    ]
    columns = ("artifact", "p50 ms", "published top-1 %", "none is faster and as accurate")
    return _table("The plot's points", columns, rows, "p50 ms|published top-1 %")


def legs(record: ExportRecord) -> Table | None:
    """Returns every comparison with PyTorch and what was allowed."""
    if record.parity is None or not record.parity.legs:
        return None
    columns = ("compared", "against", "run by", "precision", "images", "max rel", "allowed", "SNR", "SNR allowed")
    rows: list[Row] = [(*_leg(leg), _verdict(leg)) for leg in record.parity.legs]
    numbers = "images|max rel|allowed|SNR|SNR allowed|same class"
    return _table("Parity with PyTorch", (*columns, "same class", "result"), rows, numbers)


def _leg(leg: Leg) -> tuple[str, ...]:
    decibels = [f"{value:.0f} dB" if value is not None else "" for value in (leg.snr_db, leg.tolerance.snr_db)]
    relative = [f"{value:.0e}" if value is not None else "" for value in (leg.max_rel, leg.tolerance.max_rel)]
    if leg.snr_db is None and leg.max_rel == 0:
        decibels[0] = "equal"  # an infinite SNR, which JSON lacks
    shares = [decision.agreement for decision in leg.decisions]
    shares += [leg.top1_agreement] if leg.top1_agreement is not None else []
    agreement = f"{min(shares):.0%}" if shares else ""
    run_by = " ".join([leg.runner, *map(str, leg.settings.values())])
    samples = str(leg.samples) if leg.samples is not None else ""
    return leg.subject, leg.reference, run_by, leg.precision, samples, *relative, *decibels, agreement


def _verdict(leg: Leg) -> Cell:
    if leg.passed is None:
        return Cell("unknown", "doubt")
    if leg.passed and leg.allowance:
        return Cell(f"passed: {leg.allowance}", "doubt")
    return Cell("passed", "good") if leg.passed else Cell("failed", "bad")


def rounding(record: ExportRecord) -> Table | None:
    """Returns where float32 loses digits, what half precision costs, and what could not be compared for it."""
    if record.parity is None:
        return None
    rows: list[Row] = []
    if place := record.parity.ill_conditioned:
        where = f"{place.module or 'the model itself'}, {place.op}" + (f", {place.line}" if place.line else "")
        rows.append(("ill-conditioned: float32 loses most here", where, _before_after(place)))
    if loss := record.parity.precision_loss:
        left = "" if loss.snr_db is None else f"{loss.snr_db:.0f} dB"
        what = precision_name(loss.precision)
        rows.append((f"conversion exact; {what} costs", loss.accepted or "not accepted", left))
    unsure = max((decision.unsure for leg in record.parity.legs for decision in leg.decisions), default=0)
    if unsure:
        rows.append(("decisions that rounding alone turns", "left out", f"{unsure:.2%} of the places"))
    return _table("What rounding costs", ("what", "where, or why", "how much"), rows, "") if rows else None


def _before_after(place: IllConditioned) -> str:
    figures = [f"{value:.0f} dB" for value in (place.snr_before_db, place.snr_after_db) if value is not None]
    return " to ".join(figures)


def rewrites(record: ExportRecord) -> Table | None:
    """Returns what was rewritten, how often, with each proof; and why not elsewhere."""
    rows = []
    for rewrite in record.rewrites:
        if rewrite.applied or rewrite.refused:
            proof = "" if rewrite.max_rel_difference is None else f"{rewrite.max_rel_difference:.0e}"
            reasons = list(dict.fromkeys(refusal.reason for refusal in rewrite.refused))
            more = f" and {len(reasons) - LONGEST_LIST} more reasons" if len(reasons) > LONGEST_LIST else ""
            why = "; ".join(reasons[:LONGEST_LIST]) + more
            rows.append((rewrite.name, str(rewrite.applied), proof, str(len(rewrite.refused) or ""), why))
    columns = ("rewrite", "applied", "proof (float64)", "refused", "why refused")
    return _table("What was rewritten", columns, rows, "applied|proof (float64)|refused") if rows else None


def operations(record: ExportRecord) -> Table | None:
    """Returns the graph's ops before and after rewriting, the most frequent first; the last line is the sum."""
    before, after = record.ops_before, record.ops_rewritten
    names = sorted({*before, *after}, key=lambda name: (-max(before.get(name, 0), after.get(name, 0)), name))
    rows = [_change(name, before.get(name, 0), after.get(name, 0)) for name in names]
    rows.append(_change("all", sum(before.values()), sum(after.values())))
    return _table("Ops (ATen)", ("op", "before", "after", "change"), rows, "before|after|change") if names else None


def _change(name: str, before: int, after: int) -> tuple[str, str, str, Cell]:
    return name, str(before), str(after), Cell(f"{after - before:+d}" if after != before else "")


def versions(artifacts: Sequence[Artifact]) -> Table | None:
    """Returns the tools that exported, a line for each set of versions."""
    numbers: dict[str, list[str]] = {}
    for number, artifact in enumerate(artifacts, 1):
        numbers.setdefault(settings_text(artifact.record.tool_versions) or "unknown", []).append(str(number))
    rows = [(", ".join(found), text) for text, found in numbers.items()]
    return _table("Exported with", ("artifacts", "versions"), rows) if rows else None


def machines(artifacts: Sequence[Artifact]) -> Table | None:
    """Returns the machines that measured, a line for each."""
    rows = {
        (
            item.environment.cpu,
            str(item.environment.cores_available or "unknown"),
            f"{item.environment.memory_total_mb} MB" if item.environment.memory_total_mb else "unknown",
            item.environment.os or "unknown",
            settings_text(item.environment.versions) or "unknown",
        ): None
        for artifact in artifacts
        for item in artifact.latencies
    }
    columns = ("CPU", "cores available", "memory", "system", "versions")
    return _table("Measured on", columns, list(rows), "cores available|memory") if rows else None
