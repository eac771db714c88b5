"""``executor_runner``, for ``.pte`` files: what it runs on is in the file already.

Source: examples/portable/executor_runner/executor_runner.cpp of https://github.com/pytorch/executorch. It is told how
often to run, not how long, and runs on values that are all 1. Older releases print no single runs.
"""

import re
from pathlib import Path
from statistics import median, quantiles

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.benchmark_model.output import RunTimes, ToolRun, last_words
from mobilevit_deploy.measurement.phone_tools.tool import Asked, PhoneTool
from mobilevit_deploy.targets.executorch.pte.program import read_program

NAME = "executor_runner"
FIRST_RUNS = 13  # of the first process, which tells how long a run takes
WARMUP_RUNS = 3  # of each process, which do not count where it prints single runs
MOST_RUNS = 100_000
_NUMBER = r"(\d{1,12}(?:\.\d{1,12})?)"
_ALL = re.compile(rf"Model executed successfully (\d{{1,9}}) time\(s\) in {_NUMBER} ms")
_ONE = re.compile(rf"Iteration \d{{1,9}} of \d{{1,9}}: {_NUMBER} ms")
_LOADED = re.compile(rf"Model loaded in {_NUMBER} ms")


def arguments(asked: Asked) -> list[str]:
    """Returns the arguments of a process."""
    runs = FIRST_RUNS if asked.run_ms is None else int(1e3 * asked.seconds / max(asked.run_ms, 1e-3)) + WARMUP_RUNS + 1
    return [
        f"--model_path={asked.graph}",
        f"--num_executions={min(max(runs, FIRST_RUNS), MOST_RUNS)}",
        f"--cpu_threads={asked.threads}",
    ]


def read(text: str) -> ToolRun:
    """Returns what a process measured; raises MeasurementError where it printed no times."""
    done = _ALL.search(text)
    if done is None or int(done[1]) < 1:
        raise MeasurementError(f"{NAME} printed no times that mvd knows", last_words(text))
    loaded = _LOADED.search(text)
    load_ms = float(loaded[1]) if loaded else None
    single = [float(match[1]) for match in _ONE.finditer(text)]
    if len(single) <= WARMUP_RUNS:
        mean = float(done[2]) / int(done[1])
        runs = RunTimes(int(done[1]), mean, mean, mean, mean, None, None)
        return ToolRun(RunTimes(0, mean, mean, mean, mean, None, None), runs, load_ms, None, None, 0)
    return ToolRun(_times(single[:WARMUP_RUNS]), _times(single[WARMUP_RUNS:]), load_ms, None, None, 0)


def _times(runs: list[float]) -> RunTimes:
    high = quantiles(runs, n=20)[-1] if len(runs) > 1 else runs[0]
    return RunTimes(len(runs), runs[0], sum(runs) / len(runs), min(runs), max(runs), median(runs), high)


def input_shape(path: Path) -> tuple[int, ...]:
    """Returns the shape of the first input; raises ArtifactError or MeasurementError."""
    if not path.exists():
        raise MeasurementError(f"there is no file {path}", "mvd export --to executorch makes one")
    plans = read_program(path).plans
    if not plans:
        raise MeasurementError(f"{path.name} has no method", "export it again")
    return (plans[0].inputs[0].shape or ()) if plans[0].inputs else ()


TOOL = PhoneTool(NAME, ".pte", "one run of the method on values of 1", ("cpu",), arguments, read, input_shape)
