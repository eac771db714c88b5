"""Profiles as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog.catalog import is_reconstruction
from mobilevit_deploy.measurement.profiling.tree import Row, build_tree, by_op, rows
from mobilevit_deploy.system.json_text import SCHEMA

if TYPE_CHECKING:
    from mobilevit_deploy.measurement.profiling import ProfileReport
    from mobilevit_deploy.measurement.profiling.tflite import TfliteProfile


def profile_document(report: ProfileReport, depth: int) -> dict[str, Any]:
    """Returns where the time goes, in milliseconds: the modules down to a depth, the op types, and every node."""
    return {
        "schema": SCHEMA,
        "artifact": str(report.artifact),
        "reconstruction": is_reconstruction(report.artifact.name),
        "sha256": report.sha256,
        "provider": report.provider,
        "threads": report.threads,
        "input_shape": list(report.input_shape),
        "runs": report.runs,
        "run_ms": report.run_ms,
        "fastest_run_ms": report.fastest_run_ms,
        "profiled_run_ms": report.profiled_run_ms,
        "nodes_ms": report.nodes_ms,
        "macs": report.macs,
        "peak": {"macs_per_s": report.peak_macs_per_s, "matmul": list(report.peak_shape)},
        "module_known": report.share(exact=False),
        "module_known_exactly": report.share(exact=True),
        "modules": [_profile_row(row, report) for row in rows(build_tree(report.nodes), depth)],
        "ops": [_profile_row(row, report) for row in by_op(report.nodes)],
        "nodes": [vars(node) for node in report.nodes],
        "warnings": list(report.warnings),
        "environment": dict(report.environment),
    }


def _profile_row(row: Row, report: ProfileReport) -> dict[str, Any]:
    above = row.ms - row.macs / report.peak_macs_per_s * 1e3
    return {**vars(row), "share": row.ms / (report.nodes_ms or 1), "above_peak_ms": above}


def tflite_profile_document(report: TfliteProfile, depth: int) -> dict[str, Any]:
    """Returns where the time of a ``.tflite`` file goes, in milliseconds, as ``profile_document`` does."""
    return {
        "schema": SCHEMA,
        "artifact": str(report.artifact),
        "reconstruction": is_reconstruction(report.artifact.name),
        "sha256": report.sha256,
        "delegate": report.delegate,
        "device": report.environment["device"],
        "threads": report.threads,
        "input_shape": list(report.input_shape),
        "runs": report.runs,
        "run_ms": report.run_ms,
        "profiled_run_ms": report.profiled_run_ms,
        "nodes_ms": report.nodes_ms,
        "module_known": report.module_known,
        "modules": [_share(row, report) for row in rows(build_tree(report.nodes), depth)],
        "ops": [_share(row, report) for row in by_op(report.nodes)],
        "nodes": [{key: vars(node)[key] for key in ("name", "op", "ms", "macs", "path")} for node in report.nodes],
        "environment": dict(report.environment),
    }


def _share(row: Row, report: TfliteProfile) -> dict[str, Any]:
    return {**vars(row), "share": row.ms / (report.nodes_ms or 1)}
