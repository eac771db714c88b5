"""What an export puts another file in the place of: its name does not tell checkpoints, tasks and batches apart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import printable
from mobilevit_deploy.export.document import export_document
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.pipeline.origin import read_report


def warn_of_replaced(report: ExportReport, folder: Path) -> str | None:
    """Returns a warning where the folder has an export of the same name and of something else; None for none.

    What is there is known by the report beside it; where that cannot be read, nothing is said.

    Args:
        report: of the new export, which is not there yet.
        folder: that it is put into.
    """
    there = read_report(folder / report.artifact.path.name, report.artifact.target)
    try:
        before, after = _identity(there), _identity(export_document(report))
    except (KeyError, TypeError, AttributeError):  # nothing there, or anybody's file
        return None
    different = [what for what, value in after.items() if before[what] != value]
    if not different:
        return None
    what = ", ".join(f"another {name} ({printable(str(before[name]))[:80]})" for name in different)
    return f"{report.artifact.path.name} replaced an export of {what}; --out DIR keeps both"


def _identity(document: Mapping[str, Any]) -> dict[str, object]:
    """Returns what a file is of, beside what its name says."""
    weights, head = document["weights"], document.get("head") or {}
    digest = weights["sha256"]
    named = f"{Path(weights['path']).name}, {digest[:12]}..." if digest and weights["path"] else digest
    return {
        "task": document["task"],
        "output": head.get("output"),
        "checkpoint": named,
        "input": "x".join(map(str, document["input"]["shape"])),
    }
