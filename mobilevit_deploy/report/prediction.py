"""What was found in pictures, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.errors import printable
from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.parity import RUNNERS
from mobilevit_deploy.verification.accuracy.detection import Detections
from mobilevit_deploy.verification.prediction.document import shares_of
from mobilevit_deploy.verification.prediction.reading import Ranking

if TYPE_CHECKING:
    from mobilevit_deploy.verification.prediction.predict import Predicted, PredictReport

MOST_ROWS = 10  # of one picture


def prediction_tables(report: PredictReport, files: Sequence[str] = ()) -> Group:
    """Returns a table for each picture: classes, shares of the pixels or boxes, and PyTorch's answer beside them.

    Args:
        report: of one artifact.
        files: that were drawn, by name.
    """
    state = "" if report.trained else "; its weights are random, so are its answers"
    runner = RUNNERS.get(report.runner, format_of(report.target).title)
    parts: list[RenderableType] = [Text(f"{report.artifact.name}, run by {runner}{state}", style="bold")]
    for item in report.predictions:
        parts += [Text(""), Text(printable(str(item.image)), style="bold")]
        parts += _table(report, item)
    return Group(*parts, *(Text(f"wrote {name}") for name in files))


def _table(report: PredictReport, item: Predicted) -> list[RenderableType]:
    found, beside = item.found, item.reference
    if isinstance(found, Ranking):
        return _of_classes(report, item, found)
    if isinstance(found, Detections):
        return _of_boxes(report, item, found)
    columns = ["class", "share of the pixels", *(["PyTorch"] if beside is not None else [])]
    table = ResultTable(*columns, numbers=columns[1:], of=_of(report, item))
    expected = dict(shares_of(beside)) if isinstance(beside, np.ndarray) else {}
    shares = shares_of(found)
    for label, share in shares[:MOST_ROWS]:
        own = [f"{expected.get(label, 0.0):.1%}"] if beside is not None else []
        table.add_row(report.name(label), f"{share:.1%}", *own)
    lines = _more(len(shares), "classes")
    if isinstance(beside, np.ndarray):
        lines.append(f"the same class as PyTorch for {float((found == beside).mean()):.2%} of the pixels")
    return [table, *map(Text, lines)]


def _of_classes(report: PredictReport, item: Predicted, found: Ranking) -> list[RenderableType]:
    beside = item.reference
    columns = ["class", "probability", *(["PyTorch"] if beside is not None else [])]
    table = ResultTable("no.", *columns, numbers=["no.", *columns[1:]], of=_of(report, item))
    for label in found.classes:
        own = [f"{beside.probabilities[label]:.2%}"] if isinstance(beside, Ranking) else []
        table.add_row(str(label), report.name(label), f"{found.probabilities[label]:.2%}", *own)
    lines = []
    if isinstance(beside, Ranking) and beside.classes[0] != found.classes[0]:
        lines.append(f"PyTorch's first class is another: {report.name(beside.classes[0])}")
    return [table, *map(Text, lines)]


def _of_boxes(report: PredictReport, item: Predicted, found: Detections) -> list[RenderableType]:
    beside = item.reference
    columns = ["score", "left", "top", "right", "bottom"]
    table = ResultTable("class", *columns, numbers=columns, of=_of(report, item))
    for place in np.argsort(-found.scores, kind="stable")[:MOST_ROWS]:
        box = [f"{side:.0f}" for side in found.boxes[place]]
        table.add_row(report.name(int(found.labels[place])), f"{found.scores[place]:.3f}", *box)
    lines = _more(len(found.scores), "boxes")
    if isinstance(beside, Detections):
        best = f", the best of them {beside.scores.max():.3f}" if len(beside.scores) else ""
        lines.append(f"PyTorch finds {len(beside.scores)} boxes{best}")
    return [table, *map(Text, lines)]


def _of(report: PredictReport, item: Predicted) -> dict[str, str]:
    return {"artifact": report.artifact.name, "picture": str(item.image)}


def _more(count: int, what: str) -> list[str]:
    return [f"and {count - MOST_ROWS} {what} more"] if count > MOST_ROWS else []
