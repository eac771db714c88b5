"""What one of the tools is to a measurement: which files, which arguments, and numbers for its words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilevit_deploy.catalog.cards import Delegate
from mobilevit_deploy.measurement.benchmark_model.output import ToolRun


@dataclass(frozen=True)
class Asked:
    """One process of a tool.

    Attributes:
        graph: path of the file, as the tool is to open it.
        threads: of the runtime.
        delegate: that the graph is given to.
        seconds: of the runs that count.
        run_ms: of one run, as the last process had it; None for the first.
    """

    graph: str
    threads: int
    delegate: Delegate
    seconds: float
    run_ms: float | None = None


@dataclass(frozen=True)
class PhoneTool:
    """A program that users bring.

    Attributes:
        name: of the program.
        suffix: of the files that it runs.
        timed: what it times, in words.
        delegates: that it can be told to use.
        arguments: of a process.
        read: returns what a process measured, of all that it printed; raises MeasurementError for no times.
        input_shape: returns the shape of a file's first input; raises MvdError for a file that it cannot run.
    """

    name: str
    suffix: str
    timed: str
    delegates: tuple[Delegate, ...]
    arguments: Callable[[Asked], list[str]]
    read: Callable[[str], ToolRun]
    input_shape: Callable[[Path], tuple[int, ...]]
