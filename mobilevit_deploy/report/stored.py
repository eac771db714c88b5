"""Latencies kept beside the artifacts that they are of, as ``<stem>.<target>.latency.json``.

The file is a document of ``mvd latency --json`` without the single samples. It keeps the newest result of each machine
and settings, and only of the artifact as it is now: results of a file that was replaced since go when it is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mobilevit_deploy.catalog.formats import formats
from mobilevit_deploy.export.card import card_path, render_card
from mobilevit_deploy.export.records import LatencyFile
from mobilevit_deploy.measurement.latency.document import latency_document
from mobilevit_deploy.system.documents import BrokenReportError, read_document
from mobilevit_deploy.system.json_text import SCHEMA, dumps
from mobilevit_deploy.system.publish import publish_text
from mobilevit_deploy.targets.artifact import report_name

SUFFIX = ".latency.json"


class Measured(Protocol):
    """A report of one artifact's latency, of any backend."""

    @property
    def artifact(self) -> Path:
        """Returns the file."""

    @property
    def sha256(self) -> str:
        """Returns its hash."""


def latency_path(artifact: Path) -> Path | None:
    """Returns where an artifact's latencies are kept; None when no export's report stands beside it.

    What `mvd` did not export may lie anywhere: nothing is written there unasked.
    """
    target = next((name for name, known in formats().items() if known.suffix == artifact.suffix), None)
    if target is None:
        return None
    report = artifact.with_name(report_name(artifact, target))
    return report.with_name(report.name.removesuffix(".json") + SUFFIX) if report.is_file() else None


def store_latencies(
    reports: Sequence[Measured], document_of: Callable[[Any], dict[str, Any]] = latency_document
) -> list[Path]:
    """Adds each result to the file beside its artifact, in place of one under the same conditions; returns the files.

    Args:
        reports: of one backend.
        document_of: returns such a report as JSON takes it.

    Raises:
        OutputError: a folder cannot be written.
    """
    written = []
    for report in reports:
        path = latency_path(report.artifact)
        if path is None:
            continue
        document = document_of(report)
        del document["samples_ms"]  # up to some hundred thousand numbers, which no page shows
        kept = [old for old in _kept_results(path, report.sha256) if _conditions(old) != _conditions(document)]
        publish_text(dumps({"schema": SCHEMA, "results": [*kept, document]}) + "\n", path)
        written.append(path)
        _renew_card(path)
    return written


def _renew_card(path: Path) -> None:
    """Writes the latencies into the model card beside an artifact, where there is one; raises OutputError."""
    export = path.with_name(path.name.removesuffix(SUFFIX) + ".json")
    card = card_path(export)
    try:
        text = render_card(export, read_document(path, LatencyFile).results) if card.is_file() else None
    except BrokenReportError:  # more results than a page shows
        text = None
    if text is not None:
        publish_text(text, card)


def _kept_results(path: Path, sha256: str) -> list[dict[str, Any]]:
    """Returns the results on disk that are of this artifact; none of a file that is broken, for it is replaced."""
    if not path.is_file():
        return []
    try:
        read_document(path, LatencyFile)
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
    except (BrokenReportError, OSError):
        return []
    return [result for result in results if result["sha256"] == sha256]


def _conditions(result: dict[str, Any]) -> str:
    """Returns what two results must share for the newer to replace the older."""
    environment = result.get("environment") or {}
    names = ("cpu", "device", "session_options", "provider_options", "variables")
    settings = [result.get(name) for name in ("backend", "provider", "threads", "input_shape")]
    return json.dumps([settings, [environment.get(name) for name in names]], sort_keys=True)
