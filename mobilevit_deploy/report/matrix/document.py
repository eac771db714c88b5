"""What the page of a sweep says, for scripts and for a terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.errors import printable
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.matrix.changes import Changes
from mobilevit_deploy.report.matrix.columns import DIRECTIONS, SIGNS, names
from mobilevit_deploy.report.matrix.html import entries
from mobilevit_deploy.report.matrix.pareto import Front, fronts
from mobilevit_deploy.report.matrix.read import LINKS, Matrix
from mobilevit_deploy.system.json_text import SCHEMA

MOST_LINES = 20  # of cells in the terminal; the page has them all
STYLES = {"good": "green", "bad": "red", "": ""}


def matrix_document(matrix: Matrix, changes: Changes | None, page: Path) -> dict[str, Any]:
    """Returns what is on the page; the keys of a page of artifacts are there and empty."""
    counts = Counter(cell.status for cell in matrix.sweep.cells)
    return {
        "schema": SCHEMA,
        "folder": printable(str(matrix.path)),
        "page": printable(str(page)),
        "image": None,
        "artifacts": [],
        "plots": [],
        "problems": [vars(problem) for problem in matrix.problems],
        "matrix": {
            "name": matrix.sweep.name,
            "made": matrix.sweep.made,
            "version": matrix.sweep.version,
            "baseline": {"name": changes.baseline.name, "made": changes.baseline.made} if changes else None,
            "counts": {status: counts[status] for status in SIGNS},
            "cells": [
                {
                    "cell": entry.cell.model_dump(mode="json"),
                    "links": {kind: entry.links.get(kind) for kind in LINKS},
                    "changes": [vars(change) for change in entry.changes],
                }
                for entry in entries(matrix, changes, page)
            ],
            "gone": [cell.model_dump(mode="json") for cell in changes.gone] if changes else [],
            "fronts": [_front(front) for front in fronts(matrix.sweep.cells)],
        },
    }


def _front(front: Front) -> dict[str, Any]:
    best = [{"id": point.cell.id, "cost": point.cost, "accuracy": point.percent / 100} for point in front.best]
    shared = {"cost": front.cost, "conditions": front.conditions, "metric": front.metric}
    return {**shared, "measured": len(front.points), "best": best}


def matrix_summary(matrix: Matrix, changes: Changes | None) -> list[RenderableType]:
    """Returns what is counted of a sweep, what failed, and what changed, for a terminal."""
    found: list[RenderableType] = [_counts(matrix)]
    failed = [cell for cell in matrix.sweep.cells if cell.status == "failed"]
    if failed:
        table = ResultTable("failed", "reason")
        for cell in failed[:MOST_LINES]:
            table.add_row(printable(names(cell)), printable(cell.reason))
        found += [table, *_more(len(failed))]
    if changes:
        found.append(_changed(matrix, changes))
    return found


def _counts(matrix: Matrix) -> ResultTable:
    """Returns how many cells of each target and precision are done, failed and waiting."""
    table = ResultTable("target", "precision", *SIGNS, numbers=tuple(SIGNS))
    counted: dict[tuple[str, str], Counter[str]] = {}
    for cell in matrix.sweep.cells:
        counted.setdefault((cell.target, cell.precision), Counter())[cell.status] += 1
    for (target, precision), counts in counted.items():
        table.add_row(printable(target), printable(precision), *(str(counts[status]) for status in SIGNS))
    return table


def _changed(matrix: Matrix, changes: Changes) -> RenderableType:
    """Returns what differs from the baseline, a line for each cell."""
    if not changes.by_cell and not changes.gone:
        return Text(printable(f"nothing changed since {changes.baseline.name}"))
    table = ResultTable(printable(f"since {changes.baseline.name}"), "change")
    lines = [
        (cell, Text(", ").join(Text(change.text, STYLES[DIRECTIONS[change.direction]]) for change in found))
        for cell in matrix.sweep.cells
        if (found := changes.by_cell.get(cell.id))
    ]
    lines += [(cell, Text("gone")) for cell in changes.gone]
    for cell, text in lines[:MOST_LINES]:
        table.add_row(printable(names(cell)), text)
    return Group(table, *_more(len(lines)))


def _more(count: int) -> list[Text]:
    return [Text(f"and {count - MOST_LINES} more on the page")] if count > MOST_LINES else []
