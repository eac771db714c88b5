"""What the tool prints, as numbers; it is a text for people, which has changed from release to release.

Sources: tflite/tools/benchmark/benchmark_model.cc and tflite/profiling/profile_summary_formatter.cc of
https://github.com/google-ai-edge/LiteRT; xla/tsl/util/stats_calculator.{h,cc} of https://github.com/openxla/xla. Older
releases print no percentiles and no ``INFO:``, and have a column for the start of each operator.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from mobilevit_deploy.errors import MeasurementError

_NUMBER = r"(-?\d{1,18}(?:\.\d{1,9})?(?:e[+-]?\d{1,3})?)"
_STATISTICS = re.compile(rf"^(?:INFO: )?count=(\d{{1,12}})((?: \w+={_NUMBER}(?:\(all same\))?)+)", re.MULTILINE)
_FIELD = re.compile(rf"(\w+)={_NUMBER}")
_INIT = re.compile(rf"Init: {_NUMBER}")
_MEMORY = re.compile(rf"overall={_NUMBER}")
_FULLY = "the model graph will be completely executed by the delegate"
_PARTLY = re.compile(r"will be partially executed by the delegate w/ (\d{1,6}) delegate kernels")
_NOT = "the model graph will not be executed by the delegate"
_ERROR = re.compile(r"^(?:ERROR|FATAL|F|E)\b[: ]\s*(.+)$", re.MULTILINE)
_UNKNOWN = re.compile(r"Unconsumed cmdline flags: (.+)$", re.MULTILINE)
REGULAR = "Operator-wise Profiling Info for Regular Benchmark Runs:"
RUN_ORDER = "Run Order"
INSIDE = "Delegate/"  # what a delegate itself tells of an operator inside of it
LONGEST_LINE = 2000  # characters of the tool's words that a message shows

Taken = Literal["all", "part", "nothing"]


@dataclass(frozen=True)
class RunTimes:
    """The runs of one process, in milliseconds; a percentile is None where the tool's release does not print it."""

    count: int
    first_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    median_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class ToolRun:
    """What one process of the tool measured.

    Attributes:
        warmup: the runs that do not count.
        runs: those that count.
        init_ms: loading the model and preparing its tensors; None where the tool does not tell.
        memory_mb: that the process took since its start, about; None where the tool does not tell.
        taken: what of the graph the delegate took that was asked for; None where none was.
        parts: into how many parts the delegate took the graph.
    """

    warmup: RunTimes
    runs: RunTimes
    init_ms: float | None
    memory_mb: float | None
    taken: Taken | None
    parts: int


@dataclass(frozen=True)
class OperatorTime:
    """One row of the profile.

    Attributes:
        kind: of the operator, as the runtime or the delegate calls it.
        outputs: the tensors that it computes; empty for one that a delegate tells of.
        node: its number in the graph; None for one that a delegate tells of, and with older releases.
        ms: of one run, mean.
    """

    kind: str
    outputs: tuple[str, ...]
    node: int | None
    ms: float


def read_run(text: str) -> ToolRun:
    """Returns what a process measured.

    Args:
        text: that it printed, on both streams.

    Raises:
        MeasurementError: there are no times in it.
    """
    found = [_run_times(match[1], match[2]) for match in _STATISTICS.finditer(text)]
    times = [item for item in found if item is not None]
    init = _INIT.search(text)
    # A profile has lines of statistics too, behind these two.
    if len(times) < 2 or init is None:
        raise MeasurementError("benchmark_model printed no times that mvd knows", last_words(text))
    memory = _MEMORY.search(text)
    parts = _PARTLY.search(text)
    taken: Taken | None = "part" if parts else "all" if _FULLY in text else "nothing" if _NOT in text else None
    return ToolRun(
        times[0],
        times[1],
        float(init[1]) / 1e3,
        float(memory[1]) if memory else None,
        taken,
        int(parts[1]) if parts else int(taken == "all"),
    )


def last_words(text: str) -> str:
    """Returns the tool's last error, else its last line, for a message."""
    errors = [match[1] for match in _ERROR.finditer(text)]
    lines = errors or [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    return lines[-1][:LONGEST_LINE]


def unknown_flags(text: str) -> str | None:
    """Returns the flags that a process did not know, and ran without; None where it knew all."""
    found = _UNKNOWN.search(text)
    return found[1].strip()[:LONGEST_LINE] if found else None


def read_profile(text: str) -> list[OperatorTime]:
    """Returns the time of every operator, in the order in which they ran.

    What a delegate tells of the operators inside of it stands in the place of the delegate's own row, for both are the
    same time.

    Args:
        text: that a process printed, on both streams.

    Raises:
        MeasurementError: there is no profile in it.
    """
    _, _, regular = text.partition(REGULAR)
    _, _, table = regular.partition(RUN_ORDER)
    rows = list(_rows(table))
    if not rows:
        raise MeasurementError("benchmark_model printed no profile that mvd knows", last_words(text))
    if not all(row.outputs for row in rows):
        rows = [row for row in rows if not row.outputs or "Delegate" not in row.kind]
    return rows


def _run_times(count: str, fields: str) -> RunTimes | None:
    values = {name: float(value) / 1e3 for name, value, *_ in _FIELD.findall(fields)}
    current = values.get("curr")  # alone, where all runs took the same
    if current is None or int(count) == 0:
        return None
    return RunTimes(
        int(count),
        values.get("first", current),
        values.get("avg", current),
        values.get("min", current),
        values.get("max", current),
        values.get("median"),
        values.get("p95"),
    )


def _rows(table: str) -> Iterator[OperatorTime]:
    """Yields the rows of a table, whose columns its header names; it ends with an empty line."""
    lines = iter(table.splitlines()[1:])
    header = [cell.strip().strip("[]") for cell in next(lines, "").split("\t")]
    if not {"node type", "avg ms", "times called", "Name"} <= set(header):
        return
    for line in takewhile(str.strip, lines):
        cells = dict(zip(header, map(str.strip, line.split("\t")), strict=False))
        try:
            ms, calls = float(cells["avg ms"]), int(cells["times called"])
        except (KeyError, ValueError):
            continue
        # Releases that count calls of all runs divide, and may get 0 for what is called once.
        yield _operator(cells["node type"], cells.get("Name", ""), ms * max(calls, 1))


def _operator(kind: str, name: str, ms: float) -> OperatorTime:
    if name.startswith(INSIDE):
        return OperatorTime(kind, (), None, ms)
    listed, _, number = name.rpartition(":")
    numbered = bool(listed) and number.isdecimal()
    outputs = (listed if numbered else name).removeprefix("[").removesuffix("]")
    return OperatorTime(kind, tuple(outputs.split(", ")), int(number) if numbered else None, ms)
