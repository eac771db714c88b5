"""Which of a runtime's optimisations changes the result of a file that is right without them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mobilevit_deploy.runners.base import Opener

Passes = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class Optimizations:
    """What a runtime does to a file's graph before it runs it.

    Attributes:
        names: of its optimisers.
        without: opens the file with some of them switched off.
    """

    names: Sequence[str]
    without: Callable[[Sequence[str]], Opener]


def find_optimizers(names: Sequence[str], passes: Passes) -> tuple[str, ...]:
    """Returns the optimisers that make a file wrong: with these switched off it is right, with any one of them on not.

    Halves are switched off for as long as one half is enough, then one optimiser after the other is switched on again,
    so that one culprit among sixty takes some seven runs.

    Args:
        names: of all optimisers.
        passes: tells whether the file is right with some of them switched off.

    Returns:
        Their names; none where the file is wrong with all of them switched off, too.
    """
    off = tuple(names)
    if not off or not passes(off):
        return ()
    while len(off) > 1:
        middle = len(off) // 2
        half = next((part for part in (off[:middle], off[middle:]) if passes(part)), None)
        if half is None:
            break
        off = half
    for name in off if len(off) > 1 else ():
        rest = tuple(other for other in off if other != name)
        if rest and passes(rest):
            off = rest
    return off
