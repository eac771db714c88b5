"""What became of corruptions, one by one and counted."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.mutations.judge import CHANGED, Subject, Verdict
from tests.support.mutations.sample import Corruption


@dataclass(frozen=True)
class Outcome:
    """One corruption.

    Attributes:
        model: whose packages were corrupted.
        corruption: what was done.
        change: of the float32 package's outputs on the images of a verification, over the largest value.
        change_elsewhere: the same on other images, which a verification does not see.
        fp32: what verifying the corrupted float32 package says.
        fp16: the same of the half-precision package; None where that has no such place, or rounding hides the change.
        tight: the same with ``--tight``.
    """

    model: str
    corruption: Corruption
    change: float
    change_elsewhere: float
    fp32: Verdict
    fp16: Verdict | None
    tight: Verdict | None


def examine(subject: Subject, corruption: Corruption, folder: Path) -> Outcome | None:
    """Corrupts a copy of each package and verifies it; None where nothing would change."""
    copy = corruption.make(subject.packages["fp32"], folder / "corrupted.mlpackage")
    if copy is None:
        return None
    fp32, (change, elsewhere) = subject.caught_by_verify(copy, "fp32"), subject.change(copy)
    shutil.rmtree(copy)
    fp16 = tight = None
    if "fp16" in subject.packages:
        copy = corruption.make(subject.packages["fp16"], folder / "corrupted.mlpackage")
        if copy is not None:
            fp16 = subject.caught_by_verify(copy, "fp16")
            tight = subject.caught_by_verify(copy, "fp16", tight=True) if fp16 == "passed" else fp16
            shutil.rmtree(copy)
    return Outcome(subject.name, corruption, change, elsewhere, fp32, fp16, tight)


@dataclass(frozen=True)
class Tally:
    """Outcomes, counted.

    Attributes:
        tried: all.
        unreadable: of these; no runner takes the float32 package, so it is caught.
        changed: readable, and the outputs changed by more than ``CHANGED``.
        caught: of the changed, by the float32 leg.
        halves: of the changed, those that the half-precision package has too.
        caught_half: of these, by the half-precision leg.
        caught_tight: of these, by ``--tight``.
        unseen: readable, changed on other images and not on those of a verification.
        caught_unseen: of these, by the float32 leg.
    """

    tried: int
    unreadable: int
    changed: int
    caught: int
    halves: int
    caught_half: int
    caught_tight: int
    unseen: int
    caught_unseen: int

    @property
    def share(self) -> float:
        """Returns the share of the changed that the float32 leg catches; NaN where nothing changed."""
        return self.caught / self.changed if self.changed else float("nan")


def count(outcomes: Iterable[Outcome]) -> Tally:
    """Counts outcomes."""
    tried = list(outcomes)
    readable = [one for one in tried if one.fp32 != "unreadable"]
    changed = [one for one in readable if one.change > CHANGED]
    halves = [one for one in changed if one.fp16 is not None]
    unseen = [one for one in readable if one.change_elsewhere > CHANGED >= one.change]
    return Tally(
        tried=len(tried),
        unreadable=len(tried) - len(readable),
        changed=len(changed),
        caught=sum(one.fp32 != "passed" for one in changed),
        halves=len(halves),
        caught_half=sum(one.fp16 != "passed" for one in halves),
        caught_tight=sum(one.tight != "passed" for one in halves),
        unseen=len(unseen),
        caught_unseen=sum(one.fp32 != "passed" for one in unseen),
    )
