"""Which entries of a runtime's session make a file faster; they are the app's, and no part of the file."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mobilevit_deploy.measurement.comparison.ratio import paired_ratio
from mobilevit_deploy.measurement.tuning.search import CONFIRM_S, FIRST_S
from mobilevit_deploy.measurement.tuning.timing import Here


def helpful_options(
    place: Here, path: Path, options: Sequence[str], left_s: float, progress: Callable[[str], None]
) -> tuple[str, ...]:
    """Returns the options with which a file is faster than without, together and beyond the interval.

    They are chosen by some runs and judged by others, as the file itself was.

    Args:
        place: this machine.
        path: of the file.
        options: ``KEY=VALUE``.
        left_s: time limit, beside six groups of processes for each measurement.
        progress: called with a line of text.
    """
    progress("timing the file with entries of the runtime's session")
    each = [(), *((option,) for option in options)]
    seconds = min(left_s / 2, FIRST_S * len(each))
    default, *others = place.measure_options([path] * len(each), seconds, each)
    helpful = tuple(
        option for option, times in zip(options, others, strict=True) if paired_ratio(default, times).ci95[1] < 1
    )
    if not helpful:
        return ()
    progress(f"timing {', '.join(helpful)} once more: runs by which they were not chosen")
    default, together = place.measure_options([path, path], min(left_s / 2, CONFIRM_S), [(), helpful])
    return helpful if paired_ratio(default, together).ci95[1] < 1 else ()
