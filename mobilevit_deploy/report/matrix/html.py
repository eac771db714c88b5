"""The page of a sweep: it loads nothing, runs one script that is its own, and what a record says is text in it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from mobilevit_deploy.report.matrix.changes import Change, Changes
from mobilevit_deploy.report.matrix.columns import DIRECTIONS, SIGNS, TONES, Entry, columns, names, percent
from mobilevit_deploy.report.matrix.grid import arrange
from mobilevit_deploy.report.matrix.pareto import Front, fronts
from mobilevit_deploy.report.matrix.read import Matrix, by_id
from mobilevit_deploy.report.page.html import templates
from mobilevit_deploy.report.page.plot import Mark, Picture, pareto_svg
from mobilevit_deploy.report.page.tables import settings_text
from mobilevit_deploy.report.table import milliseconds, show_bytes
from mobilevit_deploy.system.version import __version__

TEMPLATE = "matrix/matrix.html.jinja"
SCRIPT = Path(__file__).with_name("matrix.js")
SIZE = (4.4, 4.0)  # inches of a plot: two of them beside each other on a desk, and one on a phone
SHAPES = {"o": "circle", "s": "square", "^": "triangle", "D": "diamond", "v": "triangle on its tip", "P": "plus"}
AXES = {"latency": "median latency and 95 % interval, ms", "size": "size, MB"}


@dataclass(frozen=True)
class Drawn:
    """A plot, and what its shapes stand for."""

    front: Front
    svg: Markup
    shapes: Mapping[str, str]


def render(matrix: Matrix, changes: Changes | None, page: Path) -> str:
    """Returns the page as HTML.

    Args:
        matrix: what is on it.
        changes: what differs from an earlier sweep; None where none was given.
        page: where it will lie, for its links are relative.
    """
    found = entries(matrix, changes, page)
    cells = matrix.sweep.cells
    differing, shared = columns(cells)
    targets = list(dict.fromkeys(cell.target for cell in cells))
    shapes = {target: list(SHAPES)[place % len(SHAPES)] for place, target in enumerate(targets)}
    script = SCRIPT.read_text(encoding="utf-8")
    text = (
        templates()
        .get_template(TEMPLATE)
        .render(
            sweep=matrix.sweep,
            problems=matrix.problems,
            entries=found,
            columns=differing,
            shared=shared,
            grid=arrange(found),
            changes=changes,
            counts=Counter(cell.status for cell in cells),
            choices={
                "target": targets,
                "precision": list(dict.fromkeys(cell.precision for cell in cells)),
                "status": [status for status in SIGNS if any(cell.status == status for cell in cells)],
            },
            plots=[_draw(front, shapes, number) for number, front in enumerate(fronts(cells))],
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            version=__version__,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **{"SIGNS": SIGNS, "TONES": TONES, "DIRECTIONS": DIRECTIONS},
            milliseconds=milliseconds,
            percent=percent,
            show_bytes=show_bytes,
            show_side=show_side,
            settings_text=settings_text,
            names=names,
        )
    )
    # A browser keeps each blank between two cells as a node of its own: without them it has half as many.
    return re.sub(r">[ ]*\n\s*<", "><", text)


def entries(matrix: Matrix, changes: Changes | None, page: Path) -> list[Entry]:
    """Returns the cells with the addresses of their files, and with what changed."""
    there = _way(matrix.path, page.parent)
    first = {id(cell) for cell in by_id(matrix.sweep).values()}
    return [
        Entry(
            place,
            cell,
            {} if there is None else {kind: quote(f"{there}/{path}") for kind, path in links.items()},
            changes.by_cell.get(cell.id, ()) if changes and id(cell) in first else (),
        )
        for place, (cell, links) in enumerate(zip(matrix.sweep.cells, matrix.links, strict=True))
    ]


def show_side(change: Change, side: str) -> str:
    """Returns what there was ``before`` or is ``after`` a change, for people."""
    value = getattr(change, side)
    if value is None or isinstance(value, str):
        return value or ""
    if change.what == "size":
        return show_bytes(int(value))
    return percent(value) if change.what == "accuracy" else f"{milliseconds(value)} ms"


def _way(folder: Path, start: Path) -> str | None:
    """Returns the way to a folder as an address has it; None where there is none, as from one drive to another."""
    try:
        return Path(os.path.relpath(os.path.realpath(folder), os.path.realpath(start))).as_posix()
    except ValueError:
        return None


def _draw(front: Front, shapes: Mapping[str, str], number: int) -> Drawn:
    """Draws a plot; the intervals and names of those alone that no other one beats."""
    marks = []
    for point in front.points:
        cell, latency = point.cell, point.cell.latency if front.cost == "latency" else None
        interval = (latency.low, latency.high) if latency and latency.low and latency.high else None
        marks.append(
            Mark(
                x=point.cost,
                y=point.percent,
                labels=(f"{cell.model} {cell.precision}", cell.model) if point.best else (),
                best=point.best,
                interval=interval if point.best else None,
                shape=shapes[cell.target],
                filled=latency is None or latency.stable,
            )
        )
    picture = Picture(marks, AXES[front.cost], f"{front.metric}, %")
    svg = pareto_svg(picture, SIZE, f"plot-{number}")
    there = {point.cell.target for point in front.points}
    return Drawn(front, svg, {target: SHAPES[shape] for target, shape in shapes.items() if target in there})
