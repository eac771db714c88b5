"""One page of everything in a folder: it loads nothing, runs no script, and escapes whatever a report says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mobilevit_deploy.errors import printable
from mobilevit_deploy.report.page import tables, texts
from mobilevit_deploy.report.page.folder import Artifact, Folder
from mobilevit_deploy.report.page.frontier import Group, comparable_groups
from mobilevit_deploy.report.page.plot import NARROW, WIDE, Mark, Picture, pareto_svg
from mobilevit_deploy.report.page.shown import Prediction
from mobilevit_deploy.system.json_text import SCHEMA
from mobilevit_deploy.system.version import __version__

TEMPLATE = "page/page.html.jinja"


def render(folder: Folder, prediction: Prediction | None = None) -> str:
    """Returns the page as HTML.

    Args:
        folder: what is on it.
        prediction: what the artifacts say of a picture; None where there was none.
    """
    groups = comparable_groups(folder.artifacts)
    return (
        templates()
        .get_template(TEMPLATE)
        .render(
            folder=folder,
            prediction=prediction,
            title=printable(str(folder.path)),
            groups=[(group, *_plots(group, i)) for i, group in enumerate(groups)],
            tables=tables,
            texts=texts,
            version=__version__,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            untrained=any(artifact.trained is False for artifact in folder.artifacts),
            reconstructions=any(artifact.record.reconstruction for artifact in folder.artifacts),
        )
    )


def templates() -> Environment:
    """Returns the templates of all pages: what a report says is text in them, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("mobilevit_deploy.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plots(group: Group, number: int) -> tuple[Markup | None, Markup | None]:
    """Returns the plot for a wide screen and for a phone, whose text would be too small in the wide one."""
    if not group.points:
        return None, None
    marks = [
        Mark(
            x=point.latency.p50_ms,
            y=point.top1_percent,
            labels=(f"{point.number} {point.artifact.record.model}", str(point.number)),
            best=point.best,
            interval=point.latency.ci95_ms,
            shape="o" if point.artifact.trained else "^",
            filled=point.latency.stable,
        )
        for point in group.points
    ]
    picture = Picture(marks, "measured latency, median and 95 % interval, ms", "published top-1, %")
    return pareto_svg(picture, WIDE, f"wide-{number}"), pareto_svg(picture, NARROW, f"narrow-{number}")


def page_document(folder: Folder, page: str, prediction: Prediction | None = None) -> dict[str, Any]:
    """Returns what is on the page, for scripts."""
    return {
        "schema": SCHEMA,
        "folder": printable(str(folder.path)),
        "page": page,
        "image": prediction.image if prediction else None,
        "artifacts": [_artifact(number, artifact, prediction) for number, artifact in enumerate(folder.artifacts, 1)],
        "plots": _plot_documents(comparable_groups(folder.artifacts)),
        "problems": [vars(problem) for problem in folder.problems],
        "matrix": None,
    }


def _artifact(number: int, artifact: Artifact, prediction: Prediction | None) -> dict[str, Any]:
    shown = prediction.by_artifact.get(artifact.name) if prediction else None
    return {
        "number": number,
        "name": artifact.name,
        "state": artifact.state,
        "trained": artifact.trained,
        "published_top1_percent": artifact.published.top1_percent,
        "published_reason": artifact.published.reason,
        "latencies": [latency.model_dump(mode="json") for latency in artifact.latencies],
        "stale_latencies": [latency.model_dump(mode="json") for latency in artifact.stale],
        "prediction": {
            "found": list(shown.document) if shown.source else None,
            "reason": None if shown.source else shown.text,
        }
        if shown
        else None,
        "report": artifact.record.model_dump(mode="json"),
    }


def _plot_documents(groups: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {
            "conditions": group.title,
            "points": [
                {
                    "number": point.number,
                    "p50_ms": point.latency.p50_ms,
                    "ci95_ms": list(point.latency.ci95_ms),
                    "published_top1_percent": point.top1_percent,
                    "best": point.best,
                }
                for point in group.points
            ],
        }
        for group in groups
    ]
