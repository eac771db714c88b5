"""What the runtimes' tools print, line by line as their sources write it.

Sources: tflite/tools/benchmark/benchmark_model.cc, benchmark_tflite_model.cc and tflite/profiling/
profile_summary_formatter.cc of https://github.com/google-ai-edge/LiteRT at f6745779; xla/tsl/util/stats_calculator.h of
https://github.com/openxla/xla for the lines with ``count=`` and the table. The order of lines is that of
https://github.com/tensorflow/tensorflow/issues/42507 and /66025, where people have shown what their phones printed.
onnxruntime/test/perftest/performance_runner.cc and its README (older) of https://github.com/microsoft/onnxruntime;
examples/portable/executor_runner/executor_runner.cpp of https://github.com/pytorch/executorch.
"""

from collections.abc import Sequence

NOTE = (
    "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual "
    "memory footprint of the model at runtime. Take the information at your discretion."
)
HEAD = ("[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]", "[Name]")
Row = tuple[str, float, int, str]  # type, milliseconds of a call, calls of a run, name


def statistics(count: int, median_us: int, percentiles: bool) -> str:
    low, high = median_us - 9, median_us + 90
    text = f"count={count} first={high} curr={median_us} min={low} max={high} avg={median_us + 1.5} std=12"
    return f"{text} p5={low} median={median_us} p95={median_us + 60}" if percentiles else text


def run(
    median_us: int, *, count: int = 80, percentiles: bool = True, prefix: str = "INFO: ", delegate: str = ""
) -> str:
    """Returns a whole run; ``delegate`` is what it says of one that was asked for."""
    lines = [
        "Log parameter values verbosely: [0]",
        "Graph: [/data/local/tmp/mvd/model.tflite]",
        "#threads used for CPU inference: [4]",
        "Loaded model /data/local/tmp/mvd/model.tflite",
        "Created TensorFlow Lite XNNPACK delegate for CPU.",
        *([delegate] if delegate else []),
        "The input model file size (MB): 0.00564",
        "Initialized session in 17.851ms.",
        "Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.",
        statistics(40, median_us + 500, percentiles) + "\n",
        "Running benchmark for at least 3 iterations and at least 1 seconds but terminate if exceeding 150 seconds.",
        statistics(count, median_us, percentiles) + "\n",
        "Inference timings in us: Init: 17851, First inference: 2104, Warmup (avg): 1041.15, Inference (avg): 1039.66",
        NOTE,
        "Memory footprint delta from the start of the tool (MB): init=4.3 overall=12.8672",
    ]
    return "".join(f"{prefix}{line}\n" for line in lines)


def applied(name: str, parts: int | None) -> str:
    """Returns what the tool says of a delegate that took all of the graph, some parts of it, or with 0 nothing."""
    if parts is None:
        return f"Explicitly applied {name} delegate, and the model graph will be completely executed by the delegate."
    if parts:
        return (
            f"Explicitly applied {name} delegate, and the model graph will be partially executed by the delegate w/ "
            f"{parts} delegate kernels."
        )
    return f"Though {name} delegate is explicitly applied, the model graph will not be executed by the delegate."


def profile(rows: Sequence[Row]) -> str:
    """Returns the profile that stands behind a run."""
    start = [("AllocateTensors", 0.2, 1, "AllocateTensors/0")]
    total = sum(row[1] * row[2] for row in rows)
    return (
        f"INFO: Profiling Info for Benchmark Initialization:\n{_table(start)}\n"
        f"INFO: Operator-wise Profiling Info for Regular Benchmark Runs:\n{_table(rows)}\n"
        f"Timings (microseconds): count=80 first={total * 1000:.0f} curr=81350 min=77385 max=88213 avg=79732 std=1929\n"
        f"Memory (bytes): count=0\n{len(rows)} nodes observed\n\n\n"
    )


def _table(rows: Sequence[Row]) -> str:
    def lines(title: str) -> str:
        cells = [f"\t{HEAD[0]:>24}", *(f"\t{name:>9}" for name in HEAD[1:])]
        body = [
            f"\t{kind:>24}\t{ms:9.3f}\t{ms:9.3f}\t{1.5:7.3f}%\t{2.5:7.3f}%\t{0:10.3f}\t{calls:9d}\t{name}"
            for kind, ms, calls, name in rows
        ]
        line = "=" * 30
        return "\n".join([f"{line} {title} {line}", "".join(cells), *body, "\n"])

    return (
        f"{lines('Run Order')}{lines('Top by Computation Time')}"
        f"Number of nodes executed: {len(rows)}\n{'=' * 30} Summary by node type {'=' * 30}\n\n"
    )


def perf_test(median_us: int, *, percentiles: bool = True) -> str:
    """Returns what ``onnxruntime_perf_test`` prints of a process with 80 runs; an older one without percentiles."""
    low, high, middle = (f"{value / 1e6:.6g}" for value in (median_us - 9, median_us + 90, median_us))
    if not percentiles:
        return f"Session creation time cost: 0.0179 s\nTotal iterations:80\nAverage time cost:{median_us / 1e3:g} ms\n"
    return "".join(
        f"{line}\n"
        for line in (
            "Setting intra_op_num_threads to 4",
            "Session creation time cost: 0.017851 s",
            "First inference time cost: 21 ms",
            "Total inference time cost: 0.96 s",
            "Total inference requests: 80",
            f"Average inference time cost total: {median_us / 1e3 + 0.0015:.6f} ms",
            "Total inference run time: 0.9601 s",
            "Number of inferences per second: 83.3",
            "Avg CPU usage: 50 %",
            "Peak working set size: 91336704 bytes",
            "Runs:80",
            f"Min Latency: {low} s",
            f"Max Latency: {high} s",
            f"P50 Latency: {middle} s",
            f"P90 Latency: {high} s",
            f"P95 Latency: {(median_us + 60) / 1e6:.6g} s",
            f"P99 Latency: {high} s",
            f"P999 Latency: {high} s",
        )
    )


def executor_runner(run_us: int, runs: int, *, single: bool = True) -> str:
    """Returns what ``executor_runner`` prints: slower while it warms up, and an older one without single runs."""
    times = [run_us / 1e3 + (5 if number < 3 else 0) for number in range(runs)]
    lines = ["Using method forward", "Model loaded in 17.851000 ms."] if single else ["Using method forward"]
    lines += [f"Iteration {i + 1} of {runs}: {ms:.6f} ms" for i, ms in enumerate(times)] if single else []
    lines += [f"Model executed successfully {runs} time(s) in {sum(times):.6f} ms.", "1 outputs: "]
    return "".join(
        f"I 00:00:00.0{i % 10} executorch:executor_runner.cpp:4{i % 10}0] {line}\n" for i, line in enumerate(lines)
    )
