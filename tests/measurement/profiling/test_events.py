"""ONNX Runtime's profile as numbers."""

from typing import Any

from mobilevit_deploy.measurement.profiling.events import NodeEvents, measured_runs, summarise_nodes


def event(name: str, ts: int, dur: int, category: str = "Node") -> dict[str, Any]:
    shapes = {"input_type_shape": [{"float": [1, 3]}, {}], "output_type_shape": [{"float": [1, 2]}]}
    return {"name": name, "cat": category, "ts": ts, "dur": dur, "args": {"op_name": "MatMul", **shapes}}


def run(begin: int, *durations: int) -> list[dict[str, Any]]:
    nodes = [event(f"n{i}_kernel_time", begin + 1 + 10 * i, duration) for i, duration in enumerate(durations)]
    return [event("model_run", begin, 50, "Session"), *nodes, event("n0_fence_before", begin + 1, 1)]


def test_warm_up_is_left_out_and_medians_are_per_node() -> None:
    events = [*run(100, 90, 90), *run(400, 3, 9), *run(200, 1, 7), *run(300, 2, 5)]  # in no order
    runs = measured_runs(events, 3)
    assert [[item["dur"] for item in one] for one in runs] == [[1, 7], [2, 5], [3, 9]]
    shapes = ((1, 3), None)
    assert summarise_nodes(runs) == [
        NodeEvents("n0", "MatMul", 0.002, shapes, (1, 2)),
        NodeEvents("n1", "MatMul", 0.007, shapes, (1, 2)),
    ]
    assert [node.name for node in summarise_nodes(runs, {"n0"})] == ["n1"]
