"""Profiles one ONNX file in ONNX Runtime: a JSON request on standard input, a JSON answer on standard output.

The request names a folder with the model, its inputs and the peak's models; the profile and the optimised model are
left there. Runs with and without the profiler alternate in blocks, so that its own cost is seen on the same machine
state. Not one by one: each session would find its weights pushed out of the caches by the other's, which made a run of
1.5 ms one of 2 ms.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from mobilevit_deploy.system.parent_watch import end_with_parent

if __name__ == "__main__":
    end_with_parent()  # before what may hang while it is imported

import numpy as np
import onnxruntime

WARMUP_RUNS = 5
MINIMUM_RUNS = 10
MAXIMUM_RUNS = 100  # the profiler writes some 700 bytes a node and run, and stops after a million nodes
BLOCK_RUNS = 10
REFILL_RUNS = 2  # of a block, which fill the caches and do not count
PEAK_S = 0.2  # for each shape


def main() -> None:
    """Measures the peak, then runs the model with and without the profiler in turns."""
    request = json.load(sys.stdin)
    folder = Path(request["folder"])
    peak = [_matmul_s(path, request["threads"]) for path in request["peak"]]
    model = str(folder / "model.onnx")
    plain = onnxruntime.InferenceSession(model, _options(request["threads"]), providers=["CPUExecutionProvider"])
    options = _options(request["threads"])
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    profiled = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    arrays = np.load(folder / "inputs.npz")
    feed = {name: arrays[f"arr_{i}"] for i, name in enumerate(request["inputs"])}
    for _ in range(WARMUP_RUNS):
        _run_ms(plain, feed)
        _run_ms(profiled, feed)
    plain_ms: list[float] = []
    profiled_ms: list[float] = []
    blocks = 0
    end = time.perf_counter() + request["seconds"]
    while len(plain_ms) < MINIMUM_RUNS or (time.perf_counter() < end and len(plain_ms) < MAXIMUM_RUNS):
        for session, times in ((plain, plain_ms), (profiled, profiled_ms)):
            block = [_run_ms(session, feed) for _ in range(BLOCK_RUNS)]
            times += block[REFILL_RUNS:]
        blocks += 1
    answer = {
        "unoptimised_profile": _profile_unoptimised(folder, feed) if request["shapes"] else None,
        "peak_s": peak,
        "plain_ms": plain_ms,
        "profiled_ms": profiled_ms,
        "profile": profiled.end_profiling(),
        "runs": blocks * BLOCK_RUNS,  # in the profile, after the warm-up
        "provider": profiled.get_providers()[0],
    }
    print(json.dumps(answer))


def _profile_unoptimised(folder: Path, feed: dict[str, Any]) -> str:
    """Returns the profile of one run of the graph as it is: the shapes in it are those of the file's own nodes."""
    options = _options(threads=1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "unoptimised")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    session.run(None, feed)
    return str(session.end_profiling())


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    # There are two sessions here: threads of the one that waits must not spin while the other is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _run_ms(session: Any, feed: dict[str, Any]) -> float:
    begin = time.perf_counter()
    session.run(None, feed)
    return (time.perf_counter() - begin) * 1e3


def _matmul_s(path: str, threads: int) -> float:
    """Returns the median time of a matrix product."""
    session = onnxruntime.InferenceSession(path, _options(threads), providers=["CPUExecutionProvider"])
    (item,) = session.get_inputs()
    feed = {item.name: np.random.default_rng(0).standard_normal(item.shape, dtype=np.float32)}
    for _ in range(WARMUP_RUNS):
        session.run(None, feed)
    times: list[float] = []
    end = time.perf_counter() + PEAK_S
    while len(times) < MINIMUM_RUNS or time.perf_counter() < end:
        times.append(_run_ms(session, feed) / 1e3)
    return float(np.median(times))


if __name__ == "__main__":
    main()
