"""Comparisons as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.system.json_text import SCHEMA

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.comparison import Comparison
    from mobilevit_deploy.measurement.comparison.compare import Compared
    from mobilevit_deploy.measurement.comparison.drift import Drift


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Returns all artifacts, the base first; an SNR that is infinite, of equal outputs, is null."""
    return {
        "schema": SCHEMA,
        "base": str(comparison.results[0].artifact),
        "results": [_result(item) for item in comparison.results],
        "threads": comparison.threads,
        "conditions": vars(comparison.conditions) if comparison.conditions else None,
        "warnings": list(comparison.warnings),
        "environment": dict(comparison.environment),
    }


def _result(item: Compared) -> dict[str, Any]:
    return {
        "artifact": str(item.artifact),
        "target": item.target,
        "sha256": item.sha256,
        "bytes": item.bytes,
        "input_shape": list(item.input_shape),
        "p50_ms": item.p50_ms,
        "ratio": item.ratio.value if item.ratio else None,
        "ratio_ci95": list(item.ratio.ci95) if item.ratio else None,
        "process_groups": item.ratio.groups if item.ratio else None,
        "pairs": item.ratio.pairs if item.ratio else None,
        "latency_reason": item.latency_reason,
        "drift": _drift(item.drift),
        "accuracy": vars(item.accuracy) if item.accuracy else None,
    }


def _drift(drift: Drift) -> dict[str, Any]:
    """Returns the worst figures over the outputs, then each output's own."""
    agreements = [output.top1_agreement for output in drift.outputs if output.top1_agreement is not None]
    return {
        "max_abs": max((output.max_abs for output in drift.outputs), default=None),
        "max_rel": max((output.max_rel for output in drift.outputs), default=None),
        "snr_db": min((output.snr_db for output in drift.outputs), default=None),
        "top1_agreement": min(agreements, default=None),
        "reason": drift.reason,
        "outputs": [vars(output) for output in drift.outputs],
        "decisions": [{"name": item.name, "agreement": item.agreement} for item in drift.decisions],
    }
