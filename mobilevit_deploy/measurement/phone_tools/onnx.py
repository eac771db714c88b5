"""``onnxruntime_perf_test``, for ``.onnx`` files.

Sources: onnxruntime/test/perftest/README.md, command_args_parser.cc and performance_runner.cc of
https://github.com/microsoft/onnxruntime. The tool runs once before what it counts, and times to whole seconds only.
"""

import math
import re
from pathlib import Path

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.benchmark_model.output import RunTimes, ToolRun, last_words
from mobilevit_deploy.measurement.phone_tools.tool import Asked, PhoneTool
from mobilevit_deploy.targets.onnx.files import has_external_weights
from mobilevit_deploy.targets.onnx.inputs import read_inputs

NAME = "onnxruntime_perf_test"
PROVIDERS = {"cpu": "cpu", "nnapi": "nnapi"}
ALL_OPTIMIZATIONS = "99"  # ORT_ENABLE_ALL, the runtime's own default
_NUMBER = r"(\d{1,12}(?:\.\d{1,12})?(?:e[+-]?\d{1,3})?)"
_LINES = {
    "load": rf"Session creation time cost: ?{_NUMBER} s",
    "first": rf"First inference time cost: ?{_NUMBER} ms",
    "count": rf"(?:Total inference requests|Total iterations): ?{_NUMBER}",
    "mean": rf"Average (?:inference )?time cost(?: total)?: ?{_NUMBER} ms",
    "memory": rf"Peak working set size: ?{_NUMBER} bytes",
    **{
        name: rf"{title} Latency(?:: | is ){_NUMBER} ?s"
        for name, title in {"min": "Min", "max": "Max", "median": "P50", "p95": "P95"}.items()
    },
}


def arguments(asked: Asked) -> list[str]:
    """Returns the arguments of a process: random inputs, all optimisations, and times of single runs (-s)."""
    seconds = str(max(1, math.ceil(asked.seconds)))
    options = ["-e", PROVIDERS[asked.delegate], "-m", "duration", "-t", seconds, "-x", str(asked.threads)]
    return [*options, "-o", ALL_OPTIMIZATIONS, "-I", "-s", asked.graph]


def read(text: str) -> ToolRun:
    """Returns what a process measured; raises MeasurementError where it printed no times."""
    found = {name: match[1] for name, line in _LINES.items() if (match := re.search(line, text))}
    if not {"count", "mean"} <= set(found) or float(found["count"]) < 1:
        raise MeasurementError(f"{NAME} printed no times that mvd knows", last_words(text))
    mean = float(found["mean"])
    seconds = {name: 1e3 * float(found[name]) for name in ("min", "max", "median", "p95") if name in found}
    first = float(found.get("first", mean))
    runs = RunTimes(
        int(float(found["count"])),
        first,
        mean,
        seconds.get("min", mean),
        seconds.get("max", mean),
        seconds.get("median"),
        seconds.get("p95"),
    )
    memory = float(found["memory"]) / 1e6 if "memory" in found else None
    warmup = RunTimes(1, first, first, first, first, None, None)
    return ToolRun(warmup, runs, 1e3 * float(found["load"]) if "load" in found else None, memory, None, 0)


def input_shape(path: Path) -> tuple[int, ...]:
    """Returns the shape of the first input; raises ArtifactError or MeasurementError."""
    if not path.exists():
        raise MeasurementError(f"there is no file {path}", "mvd export --to onnx makes one")
    if has_external_weights(path):
        raise MeasurementError(
            f"{path.name} has weights in other files, which are not sent to the phone", "save it as one file"
        )
    inputs = read_inputs(path)
    if free := [f"{item.name} {list(item.shape)}" for item in inputs if not all(type(n) is int for n in item.shape)]:
        raise MeasurementError(
            f"{path.name} leaves sizes free: {', '.join(free)}, and {NAME} would take 1 for each",
            "mvd export writes files of one size",
        )
    return tuple(size for size in inputs[0].shape if isinstance(size, int)) if inputs else ()


TOOL = PhoneTool(
    NAME, ".onnx", "one run of the session on random values", ("cpu", "nnapi"), arguments, read, input_shape
)
