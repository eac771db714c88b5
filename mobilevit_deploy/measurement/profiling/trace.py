"""The measured runs as a Chrome trace, for chrome://tracing and ui.perfetto.dev.

Source: Trace Event Format, "Complete Events"; times are in microseconds.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.measurement.profiling.events import Event, node_name
from mobilevit_deploy.measurement.profiling.tree import NodeTime

GAP_US = 100  # between runs; what lay there was a run without the profiler


def trace_events(runs: Sequence[Sequence[Event]], nodes: Sequence[NodeTime]) -> list[dict[str, Any]]:
    """Returns one event per node and run, named by op, with the module among its arguments."""
    known = {node.name: node for node in nodes}
    found: list[dict[str, Any]] = [{"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "mvd"}}]
    clock = 0
    for i, run in enumerate(runs):
        if not run:
            continue
        begin = run[0]["ts"]
        for event in run:
            node = known.get(node_name(event))
            arguments = event.get("args", {})
            details = {
                "node": node_name(event),
                "run": i,
                "inputs": arguments.get("input_type_shape", []),
                "outputs": arguments.get("output_type_shape", []),
            }
            if node is not None:
                details |= {"module": node.path, "macs": node.macs, "computes": list(node.sources)}
            found.append(
                {
                    "name": f"{arguments.get('op_name', '')} {node.path if node and node.path else ''}".strip(),
                    "cat": "node",
                    "ph": "X",
                    "ts": clock + event["ts"] - begin,
                    "dur": event["dur"],
                    "pid": 1,
                    "tid": 1,
                    "args": details,
                }
            )
        clock += run[-1]["ts"] + run[-1]["dur"] - begin + GAP_US
    return found


def write_trace(events: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes a trace; raises OutputError where that is not possible."""
    try:
        path.write_text(json.dumps({"traceEvents": list(events), "displayTimeUnit": "ms"}), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}", "give --trace a file in a folder that exists"
        ) from error
