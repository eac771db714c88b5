"""One process of the tool, on a phone or on this machine, and the files that it is given."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.android.adb import Answer
from mobilevit_deploy.measurement.benchmark_model.binary import NAME
from mobilevit_deploy.measurement.benchmark_model.output import last_words, unknown_flags
from mobilevit_deploy.system import child_process
from mobilevit_deploy.targets.litert.tflite.program import read_program

SUFFIX = ".tflite"
LIMIT_S = 120.0  # of one process besides the time of its runs: compiling for a GPU takes up to a minute


def check_file(path: Path) -> tuple[int, ...]:
    """Returns the shape of a file's first input.

    Raises:
        MeasurementError: there is no such file, or it is no ``.tflite`` file.
        ArtifactError: it is damaged.
    """
    if not path.exists():
        raise MeasurementError(f"there is no file {path}", "mvd export --to litert makes one")
    if path.suffix != SUFFIX:
        raise MeasurementError(f"{path} is no {SUFFIX} file", f"phones run {SUFFIX} files here")
    graph = read_program(path).subgraphs[0]
    return graph.values[graph.inputs[0]].shape if graph.inputs else ()


class Place(Protocol):
    """Where the tool runs: a workspace on a phone, or this machine."""

    def run(self, *command: str, limit_s: float) -> Answer:
        """Runs a program; raises MeasurementError where it does not end, or the place cannot be reached."""


class Here:
    """This machine."""

    def run(self, *command: str, limit_s: float) -> Answer:
        """Runs a program on this machine; raises MeasurementError where it cannot be started, or does not end."""
        try:
            done = child_process.run_tool(command, limit_s)
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"{NAME} did not end within {limit_s:.0f} s", "give fewer --seconds") from error
        except OSError as error:
            raise MeasurementError(f"{command[0]} cannot be started: {error.strerror}", "chmod +x it") from error
        return Answer(done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr)


def run_tool(place: Place, command: Sequence[str], path: Path, seconds: float, name: str = NAME) -> str:
    """Returns what one process of the tool prints.

    Args:
        place: where it runs.
        command: the tool and its arguments.
        path: of the file that is measured, for messages.
        seconds: that its runs take.
        name: of the tool.

    Raises:
        MeasurementError: the tool fails, or does not end.
    """
    answer = place.run(*command, limit_s=LIMIT_S + 10 * seconds)
    text = f"{answer.out}\n{answer.err}"
    if answer.code != 0:
        ended = f"signal {answer.code - 128}" if answer.code > 128 else f"exit {answer.code}"
        raise MeasurementError(
            f"{name} does not run {path.name} ({ended}): {last_words(text)}",
            "mvd inspect says which runtime the file needs, and what each delegate takes",
        )
    if unknown := unknown_flags(text):
        raise MeasurementError(
            f"this {name} does not know {unknown}, and would measure something else",
            "take TensorFlow Lite's own (docs/how-to/android.md)",
        )
    return text
