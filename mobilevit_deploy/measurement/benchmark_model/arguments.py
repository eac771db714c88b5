"""What the tool is asked.

Source: tflite/tools/benchmark/README.md of https://github.com/google-ai-edge/LiteRT
"""

from mobilevit_deploy.catalog.cards import Delegate

# On the processor XNNPACK is the runtime's own default. The order of flags is that in which delegates are applied.
DELEGATES: dict[Delegate, tuple[str, ...]] = {"cpu": (), "gpu": ("--use_gpu=true",), "nnapi": ("--use_nnapi=true",)}
WARMUP_S = 0.5
FEWEST_RUNS = 3  # of a process, so that one disturbed run does not move its median
MOST_NODES = 16_384  # that the profiler keeps of a run; twice those of the largest model here


def measuring(graph: str, threads: int, delegate: Delegate, seconds: float) -> list[str]:
    """Returns the arguments of a measurement: the warm-up, then runs for some seconds.

    Args:
        graph: path of the model, as the tool is to open it.
        threads: of the interpreter.
        delegate: that the model is given to.
        seconds: of the runs that count.
    """
    return [
        f"--graph={graph}",
        f"--num_threads={threads}",
        f"--warmup_min_secs={WARMUP_S:g}",
        f"--num_runs={FEWEST_RUNS}",
        f"--min_secs={seconds:g}",
        *DELEGATES[delegate],
    ]


def profiling(graph: str, threads: int, delegate: Delegate, seconds: float) -> list[str]:
    """Returns the arguments of a measurement with the time of every operator; see ``measuring``."""
    return [
        *measuring(graph, threads, delegate, seconds),
        "--enable_op_profiling=true",
        f"--max_profiling_buffer_entries={MOST_NODES}",
    ]
