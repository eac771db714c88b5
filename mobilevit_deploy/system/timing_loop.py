"""Runs a loaded model when it is told to: a JSON request a line on standard input, an answer a line.

The first request describes the model and is answered with what ``opened`` returns. Then ``{"seconds": s, "runs": n}``
asks for a burst of at least n runs and s seconds, and ``{"finish": true}`` for what is known at the end. Between two
requests the process sleeps, so that another one can be timed meanwhile.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from mobilevit_deploy.system.parent_watch import end_with_parent

# The first run of a burst finds caches that another process has filled meanwhile: it is run and not counted.
UNCOUNTED_RUNS = 1


class Timed(Protocol):
    """A loaded model, and the input that it is run on."""

    def opened(self) -> dict[str, Any]:
        """Returns ``load_ms``, and what else is known when it is loaded."""

    def run(self) -> None:
        """Runs it once; nothing else may be done here, for this is what is timed."""

    def finish(self) -> dict[str, Any]:
        """Returns what is known after the last run."""


def serve(load: Callable[[Mapping[str, Any]], Timed]) -> None:
    """Loads, answers requests, and ends with its standard input."""
    end_with_parent()
    answers = take_stdout()
    model = None
    for line in sys.stdin:
        request = json.loads(line)
        if model is None:
            if request["pin"]:  # before a runtime starts its threads, which inherit it
                os.sched_setaffinity(0, request["pin"])
            model = load(request)
            answer = model.opened()
        elif request.get("finish"):
            answer = model.finish()
        else:
            answer = _burst(model.run, request["seconds"], request["runs"])
        print(json.dumps(answer), file=answers, flush=True)


def pinned_to() -> list[int] | None:
    """Returns the cores that this process may use; None where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def peak_rss_mb() -> float | None:
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


def take_stdout() -> TextIO:
    """Returns standard output, and sends what native code prints there to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _burst(run: Callable[[], None], seconds: float, runs: int) -> dict[str, Any]:
    """Returns the milliseconds of each run, and what the operating system says of the burst."""
    clock = time.perf_counter
    for _ in range(UNCOUNTED_RUNS):
        run()
    samples: list[float] = []
    before, begin = _scheduling(), clock()
    end = begin + seconds
    while len(samples) < runs or clock() < end:
        start = clock()
        run()
        samples.append((clock() - start) * 1e3)
    wall = clock() - begin
    after = _scheduling()
    # A thread that ends while its counters are looked for leaves one of the two without them.
    differences = {key: after[key] - before[key] for key in before if key in after}
    return {"samples_ms": samples, "wall_s": wall, **differences}


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
