"""Latencies as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog.catalog import is_reconstruction
from mobilevit_deploy.catalog.published import published_latencies

if TYPE_CHECKING:  # this module is imported by export.py, and by commands that must start fast
    from mobilevit_deploy.measurement.latency import LatencyReport


def latency_document(report: LatencyReport) -> dict[str, Any]:
    """Returns one artifact's latency, in milliseconds; the samples are in the order of measurement."""
    statistics = report.statistics
    return {
        "artifact": str(report.artifact),
        "reconstruction": is_reconstruction(report.artifact.name),
        "sha256": report.sha256,
        "backend": report.backend,
        "provider": report.provider,
        "threads": report.threads,
        "input_shape": list(report.input_shape),
        "warmup": report.warmup,
        "processes": report.processes,
        "iterations": len(report.samples_ms),
        "p50_ms": statistics.p50_ms,
        "p90_ms": statistics.p90_ms,
        "p99_ms": statistics.p99_ms,
        "mean_ms": statistics.mean_ms,
        "min_ms": statistics.min_ms,
        "ci95_ms": list(statistics.ci95_ms),
        "precision": statistics.precision,
        "drift": statistics.drift,
        "throughput_per_s": report.throughput_per_s,
        "load_ms": report.load_ms,
        "second_load_ms": report.second_load_ms,
        "peak_rss_mb": report.peak_rss_mb,
        "stable": report.stable,
        "warnings": list(report.warnings),
        "recommendations": list(report.recommendations),
        "conditions": vars(report.conditions),
        "published": [item.model_dump() for item in published_latencies(report.artifact.name, report.input_shape)],
        "samples_ms": list(report.samples_ms),
        "environment": dict(report.environment),
    }
