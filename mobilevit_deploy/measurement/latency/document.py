"""Latencies as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog.catalog import is_reconstruction
from mobilevit_deploy.catalog.published import published_latencies

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.latency.android import AndroidReport
    from mobilevit_deploy.measurement.latency.coreml import CoreMLReport
    from mobilevit_deploy.measurement.latency.measure import LatencyReport
    from mobilevit_deploy.measurement.latency.statistics import Statistics


def latency_document(report: LatencyReport) -> dict[str, Any]:
    """Returns one artifact's latency, in milliseconds; the samples are in the order of measurement."""
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
        **_figures(report.statistics),
        "throughput_per_s": report.throughput_per_s,
        "load_ms": report.load_ms,
        "second_load_ms": report.second_load_ms,
        "peak_rss_mb": report.peak_rss_mb,
        "stable": report.stable,
        "warnings": list(report.warnings),
        "recommendations": list(report.recommendations),
        "conditions": vars(report.conditions),
        "published": published_documents(report.artifact.name, report.input_shape),
        "samples_ms": list(report.samples_ms),
        "environment": dict(report.environment),
    }


def coreml_document(report: CoreMLReport) -> dict[str, Any]:
    """Returns one package's latency on one choice of compute units, in milliseconds."""
    return {
        "artifact": str(report.artifact),
        "reconstruction": is_reconstruction(report.artifact.name),
        "sha256": report.sha256,
        "backend": "coreml",
        "provider": report.compute_units,
        "compute_units": report.compute_units,
        "device": report.environment["device"],
        "threads": None,
        "input_shape": list(report.input_shape),
        "tensor_twin": list(report.twin_changes),
        "warmup": report.warmup,
        "processes": 1,
        "iterations": len(report.samples_ms),
        **_figures(report.statistics),
        "load_ms": report.load_ms,
        "second_load_ms": report.second_load_ms,
        "peak_rss_mb": None,
        "seconds_between_calls": report.seconds_between_calls,
        "thermal_state": list(report.thermal_state),
        "stable": report.stable,
        "warnings": list(report.warnings),
        "notes": list(report.notes),
        "samples_ms": list(report.samples_ms),
        "published": published_documents(report.artifact.name, report.input_shape),
        "environment": dict(report.environment),
    }


def android_document(report: AndroidReport) -> dict[str, Any]:
    """Returns one file's latency on an Android phone, in milliseconds; percentiles of single runs are not known."""
    return {
        "artifact": str(report.artifact),
        "reconstruction": is_reconstruction(report.artifact.name),
        "sha256": report.sha256,
        "backend": "android",
        "provider": report.delegate,
        "delegate": report.delegate,
        "tool": report.tool,
        "device": report.environment["device"],
        "threads": report.threads,
        "input_shape": list(report.input_shape),
        "warmup": report.warmup,
        "processes": report.processes,
        "iterations": report.iterations,
        **_figures(report.statistics),
        "p90_ms": None,
        "p99_ms": None,
        "p95_ms": report.p95_ms,
        "mean_ms": report.mean_ms,
        "min_ms": report.min_ms,
        "load_ms": report.load_ms,
        "second_load_ms": None,
        "peak_rss_mb": None,
        "memory_mb": report.memory_mb,
        "phone": dict(zip(("before", "after"), map(asdict, report.conditions), strict=True)),
        "stable": report.stable,
        "warnings": list(report.warnings),
        "notes": list(report.notes),
        "samples_ms": list(report.samples_ms),
        "samples_are_medians": report.medians,
        "published": published_documents(report.artifact.name, report.input_shape),
        "environment": dict(report.environment),
    }


def published_documents(artifact: str, input_shape: Sequence[int]) -> list[dict[str, Any]]:
    """Returns what others have published of an artifact's model."""
    return [item.model_dump() for item in published_latencies(artifact, input_shape)]


def _figures(statistics: Statistics) -> dict[str, Any]:
    return {
        "p50_ms": statistics.p50_ms,
        "p90_ms": statistics.p90_ms,
        "p99_ms": statistics.p99_ms,
        "mean_ms": statistics.mean_ms,
        "min_ms": statistics.min_ms,
        "ci95_ms": list(statistics.ci95_ms),
        "precision": statistics.precision,
        "drift": statistics.drift,
    }
