"""Inspections as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.catalog.catalog import is_reconstruction
from mobilevit_deploy.targets.contents import integrity_document

if TYPE_CHECKING:
    from mobilevit_deploy.inspection import Inspection


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
        "integrity": None if inspection.integrity is None else integrity_document(inspection.integrity),
        "facts": dict(inspection.facts),
        "clean": inspection.clean,
    }
