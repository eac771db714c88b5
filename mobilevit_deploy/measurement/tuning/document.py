"""A search as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.system.json_text import SCHEMA

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.tuning.tune import Tried, TuneReport


def tune_document(report: TuneReport, plot: Path | None) -> dict[str, Any]:
    """Returns what a search found, in milliseconds, bytes and points of accuracy.

    Args:
        report: of the search.
        plot: of its candidates; None where nothing was timed.
    """
    evidence = report.evidence.model_dump(mode="json")
    return {
        "schema": SCHEMA,
        "target": report.request.export.targets[0],
        "recipe": str(report.recipe),
        "artifact": str(report.artifact),
        "trials": str(report.trials),
        "plot": str(plot) if plot else None,
        "budget_s": report.request.budget_s,
        "seconds": round(report.seconds, 1),
        "complete": report.verdict.complete,
        **evidence,
        "candidates": [_candidate(item) for item in report.tried],
        "warnings": list(report.warnings),
    }


def _candidate(item: Tried) -> dict[str, Any]:
    made, ratio = item.made, item.ratio
    return {
        "changes": list(made.changes),
        "sha256": made.sha256,
        "bytes": made.bytes if made.sha256 else None,
        "ratio": ratio.value if ratio else None,
        "ratio_ci95": list(ratio.ci95) if ratio else None,
        "groups": ratio.groups if ratio else 0,
        "points_lost": made.points_lost,
        "refused": made.refused,
    }
