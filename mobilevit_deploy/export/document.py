"""Reports as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.system.json_text import SCHEMA, dumps
from mobilevit_deploy.targets.artifact import report_name
from mobilevit_deploy.verification.accuracy.document import accuracy_document
from mobilevit_deploy.verification.document import parity_document, weights_document

if TYPE_CHECKING:
    from mobilevit_deploy.export.report import ExportReport
    from mobilevit_deploy.graph.capture import TensorSpec
    from mobilevit_deploy.rewrites.rewrite import RewriteResult
    from mobilevit_deploy.targets.app_options import ImageInput
    from mobilevit_deploy.targets.quantization import QuantizationResult


def write_report(report: ExportReport, folder: Path) -> Path:
    """Writes ``<stem>.<target>.json`` into a folder and returns its path."""
    path = folder / report_name(report.artifact.path, report.artifact.target)
    path.write_text(dumps(export_document(report)) + "\n", encoding="utf-8")
    return path


def export_document(report: ExportReport) -> dict[str, Any]:
    """Returns one artifact's report."""
    artifact = report.artifact
    return {
        "schema": SCHEMA,
        "model": report.model,
        "task": report.task,
        "reconstruction": report.reconstruction,
        "origin": _origin(report.model),
        "weights": weights_document(report.weights),
        "input": {**_border(report.input), **_image(artifact.app.image)},
        **_inputs(report),
        "preprocessing": report.preprocessing.model_dump() if report.preprocessing else None,
        "classes": list(report.classes),
        **_head(report),
        "entries": [vars(entry) for entry in artifact.entries],
        "outputs": [_border(output) for output in report.outputs],
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
        "parity": parity_document(report.parity),
        "accuracy": accuracy_document(report.accuracy),
        "warnings": list(report.warnings),
        "cached": report.cached,
        "seconds": dict(report.seconds),
        "tool_versions": dict(report.tool_versions),
    }


def _origin(model: str) -> dict[str, Any] | None:
    """Returns where the architecture is from; None for a model that no card describes."""
    card = catalog.models().get(model)
    return card.family.model_dump(include={"title", "paper", "repository", "licence"}) if card else None


def _inputs(report: ExportReport) -> dict[str, Any]:
    """Returns all inputs, where the user named them."""
    if not report.inputs:
        return {}
    return {"inputs": [{"name": item.name, "shape": list(item.shape), "type": item.type} for item in report.inputs]}


def _head(report: ExportReport) -> dict[str, Any]:
    """Returns what a model with a head returns, and what its classes are called."""
    head = report.head
    if head is None:
        return {}
    declared = head.declaration
    rule = head.decision if isinstance(head.decision, Suppression) else None
    return {
        "head": {
            "name": head.name,
            "output": head.output,
            "num_classes": head.num_classes,
            "classes": list(report.artifact.app.classes.names),
            "palette": [list(color) for color in report.artifact.app.classes.colors],
            "suppression": rule.model_dump(mode="json") if rule else None,
            "declaration": declared.model_dump_json(exclude_defaults=True) if declared else None,
        }
    }


def _border(spec: TensorSpec) -> dict[str, Any]:
    """Returns an input or output, and what its whole numbers stand for where it has those in place of real ones."""
    found: dict[str, Any] = {"name": spec.name, "shape": list(spec.shape)}
    return {**found, "type": spec.type, **vars(spec.steps)} if spec.steps else found


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
