"""Comparisons as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog.catalog import is_reconstruction
from mobilevit_deploy.system.json_text import SCHEMA
from mobilevit_deploy.targets.contents import integrity_document
from mobilevit_deploy.verification.accuracy.document import accuracy_document

if TYPE_CHECKING:
    from mobilevit_deploy.loading.weights_origin import WeightsOrigin
    from mobilevit_deploy.verification.leg import Leg
    from mobilevit_deploy.verification.parity import ParityReport
    from mobilevit_deploy.verification.report import VerifyReport


def weights_document(weights: WeightsOrigin) -> dict[str, Any]:
    """Returns where the weights came from."""
    return {
        "trained": weights.trained,
        "path": weights.path,
        "sha256": weights.sha256,
        "key": weights.key,
        "prefix": weights.prefix,
        "ignore": list(weights.ignore),
        "not_loaded": list(weights.not_loaded),
        "not_read": list(weights.not_read),
        "library": weights.library,
        "vouched": weights.vouched,
        "notes": list(weights.notes),
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
        "weights": weights_document(report.weights),
        "precision": report.precision,
        "parity": parity_document(report.parity),
        "accuracy": accuracy_document(report.accuracy),
        "divergence": None if report.divergence is None else vars(report.divergence),
        "integrity": integrity_document(report.integrity),
        "unseen": report.unseen,
        "warnings": list(report.warnings),
        "notes": list(report.notes),
        "seconds": report.seconds,
    }


def parity_document(parity: ParityReport) -> dict[str, Any]:
    """Returns the status and every leg."""
    return {
        "status": parity.status,
        "reason": parity.reason,
        "legs": [_leg(leg) for leg in parity.legs],
        "not_run": [vars(leg) for leg in parity.not_run],
        "ill_conditioned": None if parity.ill_conditioned is None else vars(parity.ill_conditioned),
        "precision_loss": None if parity.precision_loss is None else vars(parity.precision_loss),
        "fixed": list(parity.fixed),
    }


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
        "decisions": [vars(decision) for decision in leg.decisions],
        "allowance": leg.allowance,
        "beyond_tolerance": list(leg.beyond),
        "own_loss": [vars(output) for output in leg.own_loss],
        "optimizers": list(leg.optimizers),
    }
