"""Reports as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog import is_reconstruction
from mobilevit_deploy.published import published_latencies

if TYPE_CHECKING:  # this module is imported by export.py, and by commands that must start fast
    from mobilevit_deploy.accuracy import Accuracy
    from mobilevit_deploy.app_options import ImageInput
    from mobilevit_deploy.export import ExportReport
    from mobilevit_deploy.inspection import Inspection
    from mobilevit_deploy.latency import LatencyReport
    from mobilevit_deploy.load import WeightsOrigin
    from mobilevit_deploy.parity import Leg, ParityReport
    from mobilevit_deploy.profiling import ProfileReport
    from mobilevit_deploy.profiling.tree import Row
    from mobilevit_deploy.quantization import QuantizationResult
    from mobilevit_deploy.rewriting import RewriteResult
    from mobilevit_deploy.verify import VerifyReport

SCHEMA = 1


def dumps(document: Mapping[str, Any]) -> str:
    """Returns a document as JSON text; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False)


def write_report(report: ExportReport, folder: Path) -> Path:
    """Writes ``<stem>.<target>.json`` into a folder and returns its path."""
    path = folder / report_name(report.artifact.path, report.artifact.target)
    path.write_text(dumps(export_document(report)) + "\n", encoding="utf-8")
    return path


def report_name(artifact: Path, target: str) -> str:
    """Returns the name of the report that stands beside an artifact."""
    return f"{artifact.name.removesuffix(artifact.suffix)}.{target}.json"


def export_document(report: ExportReport) -> dict[str, Any]:
    """Returns one artifact's report."""
    artifact = report.artifact
    return {
        "schema": SCHEMA,
        "model": report.model,
        "task": report.task,
        "reconstruction": report.reconstruction,
        "weights": _weights(report.weights),
        "input": {"name": report.input.name, "shape": list(report.input.shape), **_image(artifact.app.image)},
        "entries": [vars(entry) for entry in artifact.entries],
        "outputs": [{"name": output.name, "shape": list(output.shape)} for output in report.outputs],
        "target": artifact.target,
        "labels": len(artifact.app.labels) if artifact.app.labels else None,
        "keep_fp32": list(artifact.app.keep_fp32),
        "compression": _compression(report),
        "quantization": _quantization(artifact.quantization),
        "recipe": report.recipe,
        "precision": report.precision,
        "version": dict(report.version),
        "path": str(artifact.path),
        "sha256": artifact.sha256,
        "bytes": artifact.bytes,
        "ops": dict(artifact.ops),
        "ops_before": dict(report.ops_before),
        "ops_rewritten": dict(report.ops_rewritten),
        "rewrites": [_rewrite(result) for result in report.rewrites],
        "parity": _parity(report.parity),
        "accuracy": _accuracy(report.accuracy),
        "warnings": list(report.warnings),
        "cached": report.cached,
        "seconds": dict(report.seconds),
        "tool_versions": dict(report.tool_versions),
    }


def _weights(weights: WeightsOrigin) -> dict[str, Any]:
    return {
        "trained": weights.trained,
        "path": weights.path,
        "sha256": weights.sha256,
        "key": weights.key,
        "not_loaded": list(weights.not_loaded),
    }


def verify_document(report: VerifyReport) -> dict[str, Any]:
    """Returns what was found of one artifact on disk."""
    return {
        "schema": SCHEMA,
        "artifact": str(report.artifact),
        "target": report.target,
        "sha256": report.sha256,
        "bytes": report.bytes,
        "model": report.model,
        "reconstruction": is_reconstruction(report.model),
        "weights": _weights(report.weights),
        "precision": report.precision,
        "parity": _parity(report.parity),
        "accuracy": _accuracy(report.accuracy),
        "divergence": None if report.divergence is None else vars(report.divergence),
        "warnings": list(report.warnings),
        "seconds": report.seconds,
    }


def _image(image: ImageInput | None) -> dict[str, Any]:
    if image is None:
        return {"kind": "array"}
    return {"kind": "image", "color": image.color, "mean": list(image.mean), "std": list(image.std)}


def _compression(report: ExportReport) -> dict[str, Any] | None:
    """Returns what was done to the weights: bytes of the package, and of weights by their uncompressed size."""
    chosen, result = report.compression, report.artifact.compression
    if chosen is None or result is None:
        return None
    return {
        "method": chosen.scheme.method if chosen.scheme else None,
        "bits": chosen.scheme.bits if chosen.scheme else None,
        "prune": chosen.prune,
        "bytes_before": result.bytes_before,
        "weight_bytes_compressed": result.compressed_bytes,
        "weight_bytes_left": dict(result.left_bytes),
    }


def _quantization(result: QuantizationResult | None) -> dict[str, Any] | None:
    """Returns what became int8, by which images."""
    if result is None:
        return None
    return {
        "calibration": {
            "source": result.source,
            "images": result.images,
            "structured": result.structured,
        },
        "rule": result.rule.model_dump(),
        "quantized": dict(result.quantized),
        "left": dict(result.left),
        "bytes_before": result.bytes_before,
        "sensitivity": [vars(cost) for cost in result.sensitivity],
    }


def _rewrite(result: RewriteResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "applied": len(result.applied),
        "applied_at": list(result.applied),
        "refused": [{"at": refused.at, "reason": refused.reason} for refused in result.refused],
        "max_abs_difference": result.max_abs_difference,
        "max_rel_difference": result.max_rel_difference,
    }


def _parity(parity: ParityReport) -> dict[str, Any]:
    return {
        "status": parity.status,
        "reason": parity.reason,
        "legs": [_leg(leg) for leg in parity.legs],
        "not_run": [vars(leg) for leg in parity.not_run],
    }


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any] | None:
    return None if accuracy is None else vars(accuracy)


def _leg(leg: Leg) -> dict[str, Any]:
    """Returns a leg with the worst figures over its outputs, then each output's own."""
    agreements = [output.top1_agreement for output in leg.outputs if output.top1_agreement is not None]
    return {
        "subject": leg.subject,
        "reference": leg.reference,
        "runner": leg.runner,
        "settings": dict(leg.settings),
        "precision": leg.precision,
        "size": list(leg.size),
        "samples": leg.samples,
        "max_abs": max((output.max_abs for output in leg.outputs), default=None),
        "max_rel": max((output.max_rel for output in leg.outputs), default=None),
        "snr_db": min((output.snr_db for output in leg.outputs), default=None),
        "top1_agreement": min(agreements, default=None),
        "spread": min((output.spread for output in leg.outputs), default=None),
        "tolerance": leg.tolerance.model_dump(exclude={"half_sums"}),
        "passed": leg.passed,
        "reasons": list(leg.reasons),
        "outputs": [vars(output) for output in leg.outputs],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def inspection_document(inspection: Inspection) -> dict[str, Any]:
    """Returns what was found in one model or artifact for one target."""
    return {
        "name": inspection.name,
        "reconstruction": is_reconstruction(Path(inspection.name).name),
        "target": inspection.target,
        "ops_before": dict(inspection.ops_before),
        "ops_after": dict(inspection.ops_after),
        "ops": dict(inspection.ops),
        "findings_before": [vars(finding) for finding in inspection.findings_before],
        "findings": [vars(finding) for finding in inspection.findings],
        "conversion_error": inspection.conversion_error,
        "clean": inspection.clean,
    }


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


def profile_document(report: ProfileReport, depth: int) -> dict[str, Any]:
    """Returns where the time goes, in milliseconds: the modules down to a depth, the op types, and every node."""
    from mobilevit_deploy.profiling.tree import build_tree, by_op, rows

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
