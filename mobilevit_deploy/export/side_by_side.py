"""The targets of one export: one after the other, or side by side where cores and memory are enough."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import psutil
import torch

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import LoadedModel
from mobilevit_deploy.pipeline.prepare import structured_images
from mobilevit_deploy.runners.reference import Computed, TorchRunner, digest_of
from mobilevit_deploy.system.environment import available_cores
from mobilevit_deploy.system.side_by_side import CAN_FORK, EndedError, Tell, beside, run_side_by_side

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
    at_once = _jobs_for(len(exports), weights, jobs)
    if at_once < 2:
        return [export(tell) for export in exports.values()]
    try:
        return run_side_by_side([partial(_with_one_thread, export) for export in exports.values()], at_once, tell)
    except EndedError as error:
        raise ConversionError(
            f"{list(exports)[error.place]}: its process {error}",
            "--jobs 1 exports one target after the other, which takes less memory",
        ) from error


@contextmanager
def computed_beside(model: LoadedModel, targets: int, jobs: int | None) -> Iterator[Callable[[], Computed | None]]:
    """Computes in a fork what the model comes to in float64, while this process captures its graph.

    Of several targets side by side, each of which would compute it with one thread as well; others have more threads.
    Gives what waits for it: None where nothing was computed, or the model does not run so.

    Args:
        model: as loaded.
        targets: how many.
        jobs: how many at once; None for as many as cores and free memory allow.
    """
    weights = sum(tensor.nbytes for tensor in model.module.state_dict().values())
    if _jobs_for(targets, weights, jobs) < 2:
        yield lambda: None
        return
    with beside(partial(_compute, model)) as computed:
        yield computed


def _compute(model: LoadedModel) -> Computed:
    torch.set_num_threads(1)  # see below
    runner, size = TorchRunner(model.module, torch.float64), model.input_shape[0]
    images = structured_images(model)
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    return {digest_of(part): runner.run(part) for part in parts}


def _jobs_for(targets: int, weights: int, jobs: int | None) -> int:
    return min(targets, jobs or possible_jobs(weights)) if CAN_FORK else 1


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
