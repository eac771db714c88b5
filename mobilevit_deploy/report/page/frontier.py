"""Which measurements may be compared in one plot, and which of them no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilevit_deploy.export.records import LatencyRecord, Settings
from mobilevit_deploy.report.page.folder import Artifact
from mobilevit_deploy.system.environment import count_threads


@dataclass(frozen=True)
class Point:
    """One artifact in the plot, by its number on the page.

    Attributes:
        number: of the artifact on the page, from 1.
        artifact: that was measured.
        latency: its measurement.
        top1_percent: published for its architecture.
        best: whether no other point is both faster and more accurate.
    """

    number: int
    artifact: Artifact
    latency: LatencyRecord
    top1_percent: float
    best: bool


@dataclass(frozen=True)
class Group:
    """Measurements under the same conditions.

    Attributes:
        title: what they have in common.
        points: in order of latency.
        measured: how many artifacts were measured, with those that have no published accuracy.
    """

    title: str
    points: Sequence[Point]
    measured: int


def comparable_groups(artifacts: Sequence[Artifact]) -> list[Group]:
    """Returns the measurements of artifacts by machine and settings: latencies of two machines compare nothing."""
    by_title: dict[str, list[tuple[int, Artifact, LatencyRecord]]] = {}
    for number, artifact in enumerate(artifacts, 1):
        for latency in artifact.latencies:
            by_title.setdefault(conditions(latency), []).append((number, artifact, latency))
    return [Group(title, _points(items), len(items)) for title, items in by_title.items()]


def runs_on(latency: LatencyRecord) -> str:
    """Returns what one run computes on: threads, or Core ML's compute units."""
    if latency.threads is None:
        return latency.provider or latency.backend
    return count_threads(latency.threads)


def conditions(latency: LatencyRecord) -> str:
    """Returns in words what two latencies must share to be compared."""
    machine = latency.environment
    batch = latency.input_shape[0] if latency.input_shape else 1
    texts = [
        machine.cpu,
        latency.backend + (f" ({latency.provider})" if latency.provider else ""),
        runs_on(latency),
        f"batch {batch}",
    ]
    settings: Settings = {**machine.session_options, **machine.provider_options, **machine.variables}
    return ", ".join([*texts, *(f"{key}={value}" for key, value in settings.items())])


def _points(items: Sequence[tuple[int, Artifact, LatencyRecord]]) -> list[Point]:
    known = [
        (number, artifact, latency, artifact.published.top1_percent)
        for number, artifact, latency in items
        if artifact.published.top1_percent is not None
    ]
    known.sort(key=lambda item: item[0])
    best = unbeaten([(latency.p50_ms, top1) for _, _, latency, top1 in known])
    points = [Point(*item, best=place in best) for place, item in enumerate(known)]
    return sorted(points, key=lambda point: (point.latency.p50_ms, -point.top1_percent, point.number))


def unbeaten(points: Sequence[tuple[float, float]]) -> frozenset[int]:
    """Returns the places of those that no other one beats, the first of equal ones: Pareto's frontier.

    Args:
        points: of each what it costs, the less the better, and what it is worth, the more the better.
    """
    best, worth = set(), float("-inf")
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1], place)):
        if points[place][1] > worth:
            best.add(place)
            worth = points[place][1]
    return frozenset(best)
