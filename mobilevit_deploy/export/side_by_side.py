"""The targets of one export: one after the other, or side by side where cores and memory are enough."""

from collections.abc import Callable, Mapping
from functools import partial

import psutil
import torch

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.system.environment import available_cores
from mobilevit_deploy.system.side_by_side import CAN_FORK, EndedError, Tell, run_side_by_side

# What one target takes beside what all share: its packages, and the weights in float64 (twice), in a proof's copy, in
# the file and in what reads it. Not measured: an upper guess, for a target that waits costs less than a full memory.
BASE_BYTES = 2**30
COPIES_OF_WEIGHTS = 8


def export_targets(
    exports: Mapping[str, Callable[[Tell], ExportReport]], weights: int, jobs: int | None, tell: Tell
) -> list[ExportReport]:
    """Exports to each target, and returns the reports in order.

    Args:
        exports: what exports to a target, by its name.
        weights: of the model, in bytes.
        jobs: how many targets at once; None for as many as cores and free memory allow.
        tell: is told each stage as it begins.

    Raises:
        MvdError: what the first target that failed raised; ConversionError where its process was ended.
    """
    at_once = min(len(exports), jobs or possible_jobs(weights)) if CAN_FORK else 1
    if at_once < 2:
        return [export(tell) for export in exports.values()]
    try:
        return run_side_by_side([partial(_with_one_thread, export) for export in exports.values()], at_once, tell)
    except EndedError as error:
        raise ConversionError(
            f"{list(exports)[error.place]}: its process {error}",
            "--jobs 1 exports one target after the other, which takes less memory",
        ) from error


def possible_jobs(weights: int) -> int:
    """Returns how many exports cores and free memory allow at once, 0 for a memory that is full.

    Args:
        weights: of the largest model, in bytes.
    """
    free = psutil.virtual_memory().available
    return min(available_cores(), int(free // (BASE_BYTES + COPIES_OF_WEIGHTS * weights)))


def _with_one_thread(export: Callable[[Tell], ExportReport], tell: Tell) -> ExportReport:
    torch.set_num_threads(1)  # OpenMP waits for ever for the threads that it had before the fork
    return export(tell)
