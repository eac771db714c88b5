"""Sweeps as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.system.json_text import SCHEMA

if TYPE_CHECKING:
    from mobilevit_deploy.report.matrix.record import Cell, Sweep


def sweep_document(sweep: Sweep) -> dict[str, Any]:
    """Returns what ``sweep.json`` holds, and ``--json`` prints."""
    return {"schema": SCHEMA, "counts": count(sweep), **sweep.model_dump(mode="json")}


def count(sweep: Sweep) -> dict[str, int]:
    """Returns how many cells are done, miss their limits, could not be made, and wait to be."""
    found = Counter(kind_of(cell) for cell in sweep.cells)
    return {kind: found[kind] for kind in ("done", "missed", "error", "waiting")}


def kind_of(cell: Cell) -> str:
    """Returns what became of a cell: one that failed was made and missed a limit, or could not be made."""
    if cell.status != "failed":
        return cell.status
    return "missed" if cell.gates else "error"
