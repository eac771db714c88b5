"""Compute plans and iPhones as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog.catalog import is_reconstruction

if TYPE_CHECKING:
    from mobilevit_deploy.apple.attached import AttachedDevice
    from mobilevit_deploy.apple.compute_plan import PlanReport
    from mobilevit_deploy.errors import MvdError


def plan_document(report: PlanReport) -> dict[str, Any]:
    """Returns the plan of every operation, and the shares of the estimated cost."""
    return {
        "schema": 1,
        "artifact": str(report.artifact),
        "reconstruction": is_reconstruction(report.artifact.name),
        "sha256": report.sha256,
        "backend": "coreml",
        "compute_units": report.compute_units,
        "device": report.environment["device"],
        "tensor_twin": list(report.twin_changes),
        "neural_engine_share": report.neural_engine_share,
        "cost_by_device": report.cost_by_device,
        "left": [operation.name for operation in report.left],
        "operations": [vars(operation) for operation in report.operations],
        "environment": dict(report.environment),
    }


def iphones_document(attached: Sequence[AttachedDevice], problem: MvdError | None) -> dict[str, Any]:
    """Returns the attached iPhones with what stands in the way, and why they cannot be looked for, if so."""
    return {
        "attached": [_attached_document(device) for device in attached],
        "problem": None if problem is None else {"message": problem.message, "hint": problem.hint},
    }


def _attached_document(device: AttachedDevice) -> dict[str, Any]:
    obstacles = device.obstacles()
    return {
        **vars(device),
        "profile": device.profile.name if device.profile else None,
        "ready": not obstacles,
        "obstacles": [vars(obstacle) for obstacle in obstacles],
    }
