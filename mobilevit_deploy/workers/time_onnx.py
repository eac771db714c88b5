"""Runs one ONNX file in ONNX Runtime when it is told to: a JSON request a line on standard input, an answer a line.

A process of its own for each artifact: idle sessions of ONNX Runtime in one process keep spinning and slow each other
down (four: 36 ms where one alone takes 13 ms). Between two requests this process sleeps; its session's threads spin for
some milliseconds after a run and sleep then too, so a second process can be timed while this one waits.

The first request describes the session and is answered with the load time. Then ``{"seconds": s, "runs": n}`` asks for
a burst of at least n runs and s seconds, and ``{"finish": true}`` for what is known at the end.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

# The first run of a burst finds caches that another process has filled meanwhile: it is run and not counted.
UNCOUNTED_RUNS = 1


def main() -> None:
    """Loads, answers requests, and ends with its standard input."""
    answers = _take_stdout()
    session = None
    for line in sys.stdin:
        request = json.loads(line)
        if session is None:
            session = _Session(request)
            answer = session.opened()
        elif request.get("finish"):
            answer = session.finish()
        else:
            answer = session.burst(request["seconds"], request["runs"])
        print(json.dumps(answer), file=answers, flush=True)


def _take_stdout() -> TextIO:
    """Returns standard output, and sends what native code prints there to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


class _Session:
    """A session, and the input that it is run on."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        if request["pin"]:  # before ONNX Runtime starts its threads, which inherit it
            os.sched_setaffinity(0, request["pin"])
        import onnxruntime

        self._onnxruntime, self._request = onnxruntime, request
        self._session, self._load_ms = self._load()
        self._check_provider()
        shape, batch = request["input_shape"], request["batch"]
        self._feed = {item.name: _random(item, shape or _shape(item, batch)) for item in self._session.get_inputs()}

    def _load(self, more_entries: Mapping[str, str] | None = None) -> tuple[Any, float]:
        """Returns a new session, and the milliseconds that it took to make."""
        request = self._request
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = request["threads"]
        options.log_severity_level = 4 if more_entries else 3  # errors only
        for key, value in {**request["session_entries"], **(more_entries or {})}.items():
            options.add_session_config_entry(key, value)
        provider = (request["provider"], dict(request["provider_options"]))
        start = time.perf_counter()
        session = self._onnxruntime.InferenceSession(request["path"], options, providers=[provider])
        return session, (time.perf_counter() - start) * 1e3

    def _check_provider(self) -> None:
        """Ends the process when ONNX Runtime took another provider than the one asked for, as it silently does."""
        asked, given = self._request["provider"], self._session.get_providers()[0]
        if asked != given:
            sys.exit(f"{asked} does not work here: ONNX Runtime took {given} in its place")

    def opened(self) -> dict[str, Any]:
        shapes = [list(value.shape) for value in self._feed.values()]
        return {
            "load_ms": self._load_ms,
            "input_shape": shapes[0] if shapes else [],
            "pinned_to": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        }

    def burst(self, seconds: float, runs: int) -> dict[str, Any]:
        """Returns the milliseconds of each run, and what the operating system says of the burst."""
        run, feed, clock = self._session.run, self._feed, time.perf_counter
        for _ in range(UNCOUNTED_RUNS):
            run(None, feed)
        samples: list[float] = []
        before, begin = _scheduling(), clock()
        end = begin + seconds
        while len(samples) < runs or clock() < end:
            start = clock()
            run(None, feed)
            samples.append((clock() - start) * 1e3)
        wall = clock() - begin
        after = _scheduling()
        differences = {key: after[key] - value for key, value in before.items()}
        return {"samples_ms": samples, "wall_s": wall, **differences}

    def finish(self) -> dict[str, Any]:
        """Returns the peak memory, then the time of a second load and whether a provider got the whole graph."""
        peak = _peak_rss_mb()
        self._session = None
        _, second_load_ms = self._load()
        answer = {"peak_rss_mb": peak, "second_load_ms": second_load_ms, "whole_graph": True}
        if self._request["provider"] != "CPUExecutionProvider":
            try:
                self._load({"session.disable_cpu_ep_fallback": "1"})
            except Exception:  # its type is the general one of the binding
                answer["whole_graph"] = False
        return answer


def _scheduling() -> dict[str, float]:
    """Returns counters of this process, all threads: involuntary context switches, and seconds of waiting for a core.

    Counters that the operating system does not have are left out.
    """
    counters: dict[str, float] = {}
    try:
        import resource

        counters["involuntary_switches"] = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    except ImportError:  # Windows
        pass
    try:  # the second field is time spent on a run queue, in nanoseconds (Linux, Documentation/scheduler/sched-stats)
        files = list(Path("/proc/self/task").glob("*/schedstat"))
        if files:
            counters["waiting_s"] = sum(int(file.read_text().split()[1]) for file in files) / 1e9
    except (OSError, IndexError, ValueError):
        pass
    return counters


def _shape(item: Any, batch: int | None) -> list[int]:
    """Returns an item's shape; a free first dimension is the batch, 1 if none was asked for."""
    if any(isinstance(size, int) and size < 0 for size in item.shape):
        sys.exit(f"its input {item.name} has the shape {item.shape}")
    free = [str(size) for size in item.shape[1:] if not isinstance(size, int)]
    if free:
        sys.exit(f"the size of its input {item.name} is not fixed ({', '.join(free)})")
    return [size if isinstance(size, int) else batch or 1 for size in item.shape]


def _random(item: Any, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """Returns an input of an item's type."""
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
    try:  # Linux: getrusage would count the parent's memory, which a forked child has until it becomes this program
        status = Path("/proc/self/status").read_text()
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 2**10, 1)
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(float(peak) / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes on macOS, else KiB


if __name__ == "__main__":
    main()
