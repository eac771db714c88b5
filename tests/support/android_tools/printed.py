"""What ``benchmark_model`` prints, line by line as its source writes it.

Sources: tflite/tools/benchmark/benchmark_model.cc, benchmark_tflite_model.cc and tflite/profiling/
profile_summary_formatter.cc of https://github.com/google-ai-edge/LiteRT at f6745779; xla/tsl/util/stats_calculator.h of
https://github.com/openxla/xla for the lines with ``count=`` and the table. The order of lines is that of
https://github.com/tensorflow/tensorflow/issues/42507 and /66025, where people have shown what their phones printed.
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
