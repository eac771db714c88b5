"""ONNX Runtime's profile as numbers: one time per node and run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilevit_deploy.measurement.profiling.macs import Shape

KERNEL_SUFFIX = "_kernel_time"
Event = Mapping[str, Any]


@dataclass(frozen=True)
class NodeEvents:
    """One node over all runs; ``ms`` is the median, ``inputs`` and ``output`` are the shapes that it saw."""

    name: str
    op: str
    ms: float
    inputs: tuple[Shape | None, ...]
    output: Shape | None


def measured_runs(events: Sequence[Event], count: int) -> list[list[Event]]:
    """Returns the node events of the last ``count`` runs, in order; the ones before were warm-up."""
    runs = sorted((event for event in events if event["name"] == "model_run"), key=lambda event: int(event["ts"]))
    nodes = [event for event in events if event["cat"] == "Node" and event["name"].endswith(KERNEL_SUFFIX)]
    nodes.sort(key=lambda event: int(event["ts"]))
    found = []
    for run in runs[-count:]:
        begin, end = run["ts"], run["ts"] + run["dur"]
        found.append([event for event in nodes if begin <= event["ts"] <= end])
    return found


def node_name(event: Event) -> str:
    """Returns the name of the node that an event is of."""
    return str(event["name"]).removesuffix(KERNEL_SUFFIX)


def summarise_nodes(runs: Sequence[Sequence[Event]], nested: Collection[str] = ()) -> list[NodeEvents]:
    """Returns the median time of each node over the runs, in the order of the first run.

    The profiler writes whole microseconds, cut off.

    Args:
        runs: node events of each run.
        nested: names of nodes in the branches of If and the bodies of loops, whose time is in the outer node's.
    """
    times: dict[str, list[float]] = {}
    first: dict[str, Event] = {}
    for i, run in enumerate(runs):
        for event in run:
            name = node_name(event)
            if name in nested:
                continue
            times.setdefault(name, [0.0] * len(runs))[i] += event["dur"] / 1e3
            first.setdefault(name, event)
    return [_summary(name, first[name], float(np.median(values))) for name, values in times.items()]


def _summary(name: str, event: Event, ms: float) -> NodeEvents:
    arguments = event.get("args", {})
    outputs = _shapes(arguments.get("output_type_shape"))
    return NodeEvents(
        name,
        str(arguments.get("op_name", "unknown")),
        ms,
        _shapes(arguments.get("input_type_shape")),
        outputs[0] if outputs else None,
    )


def _shapes(value: object) -> tuple[Shape | None, ...]:
    """Reads ``[{"float": [1, 3]}, ...]``; an input that is left out has no shape."""
    items = value if isinstance(value, list) else []
    return tuple(next((tuple(shape) for shape in item.values()), None) for item in items)
