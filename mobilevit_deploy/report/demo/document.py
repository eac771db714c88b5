"""The demo as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.system.json_text import SCHEMA
from mobilevit_deploy.verification.prediction.document import predict_document

if TYPE_CHECKING:
    from mobilevit_deploy.report.demo.run import Demo


def demo_document(demo: Demo) -> dict[str, Any]:
    """Returns what was written, and what each file says of the picture."""
    return {
        "schema": SCHEMA,
        "folder": str(demo.folder),
        "picture": str(demo.picture),
        "checkpoint": str(demo.checkpoint),
        "page": str(demo.page),
        "artifacts": [
            {
                "path": str(report.artifact.path),
                "target": report.artifact.target,
                "precision": report.precision,
                "bytes": report.artifact.bytes,
                "parity": report.parity.status,
                "max_rel": report.parity.largest_difference,
                "found": predict_document(predicted, {})["predictions"][0]["found"],
            }
            for report, predicted in zip(demo.reports, demo.predictions, strict=True)
        ],
        "not_installed": [{"title": title, "command": command} for title, command in demo.not_installed.items()],
        "next": list(demo.next_commands),
    }
