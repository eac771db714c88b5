"""Times one ONNX file in ONNX Runtime: a JSON request on standard input, a JSON answer on standard output.

A process of its own for each artifact: idle sessions of ONNX Runtime keep spinning and slow each other down
(four in one process: 36 ms where one alone takes 13 ms).
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARMUP_WINDOW = 5
WARMUP_SETTLED = 0.03  # the medians of two neighbouring windows differ by less: caches, clocks and threads are warm
MINIMUM_RUNS = 20
MAXIMUM_RUNS = 20_000


def main() -> None:
    """Measures load time, then warms up, then times runs until the time is over."""
    request = json.load(sys.stdin)
    start = time.perf_counter()
    import onnxruntime

    imported = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(request["path"], options, providers=["CPUExecutionProvider"])
    loaded = time.perf_counter()
    feed = {item.name: _random(item) for item in session.get_inputs()}

    def run() -> float:
        begin = time.perf_counter()
        session.run(None, feed)
        return (time.perf_counter() - begin) * 1e3

    warmup = _warm_up(run, request["seconds"] / 3)
    samples = _measure(run, request["seconds"])
    answer = {
        "samples_ms": samples,
        "warmup": warmup,
        "import_ms": (imported - start) * 1e3,
        "load_ms": (loaded - imported) * 1e3,
        "peak_rss_mb": _peak_rss_mb(),
        "provider": session.get_providers()[0],
        "input_shape": list(next(iter(feed.values())).shape),
    }
    print(json.dumps(answer))


def _warm_up(run: Callable[[], float], limit_s: float) -> int:
    """Runs until two neighbouring windows agree or the time is over; returns the number of runs."""
    begin = time.perf_counter()
    previous = float("inf")
    count = 0
    while time.perf_counter() - begin < limit_s:
        median = float(np.median([run() for _ in range(WARMUP_WINDOW)]))
        count += WARMUP_WINDOW
        if abs(median / previous - 1) < WARMUP_SETTLED:
            break
        previous = median
    return count


def _measure(run: Callable[[], float], seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    samples: list[float] = []
    while len(samples) < MINIMUM_RUNS or (time.perf_counter() < end and len(samples) < MAXIMUM_RUNS):
        samples.append(run())
    return samples


def _random(item: Any) -> np.ndarray[Any, Any]:
    """Returns an input of an item's type and shape; a free first dimension, the batch, becomes 1."""
    free = [str(size) for size in item.shape[1:] if not isinstance(size, int)]
    if free:
        sys.exit(f"the size of its input {item.name} is not fixed ({', '.join(free)})")
    shape = [size if isinstance(size, int) else 1 for size in item.shape]
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    generator = np.random.default_rng(0)
    if item.type in types:
        return generator.standard_normal(shape).astype(types[item.type])
    integers = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8}
    if item.type not in integers:
        sys.exit(f"its input {item.name} is a {item.type}, for which there are no test values")
    return np.zeros(shape, integers[item.type])


def _peak_rss_mb() -> float | None:
    """Returns the peak resident memory of this process in MiB; None where the OS does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes on macOS, KiB on Linux


if __name__ == "__main__":
    main()
