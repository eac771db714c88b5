"""Whether an artifact computes what PyTorch computed: measured on structured images, judged by the recipe.

The comparison goes in legs, each against PyTorch before any rewrite, so that a failure shows its cause: the rewritten
graph, a conversion of it in float32, the precision that is shipped, the compressed weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mobilevit_deploy.errors import ArtifactError, RefusedError
from mobilevit_deploy.runners.base import NotMeasured
from mobilevit_deploy.verification.conditioning import IllConditioned
from mobilevit_deploy.verification.differences import VANISHING
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.leg import ARTIFACT, BY_OPERATION, INT8_UNROUNDED, UNROUNDED, Candidate, Leg, run_leg
from mobilevit_deploy.verification.optimizers import find_optimizers
from mobilevit_deploy.verification.precision_loss import PrecisionLoss, accept_loss

Status = Literal["passed", "failed", "not_measured"]


@dataclass(frozen=True)
class NotRun:
    """A leg that could not be run, and why."""

    subject: str
    runner: str
    settings: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class ParityReport:
    """All legs; ``not_measured`` is never a pass, and has its reason, and so has each leg that was not run.

    ``ill_conditioned`` says where PyTorch's own float32 loses more than the tolerance, ``precision_loss`` that the
    artifact's precision does; each is None where it does not. ``refused`` tells that a runtime that the artifact is
    made for does not load or run it: other runners may, and it is no pass. ``fixed`` names outputs that are the same
    for every image, as those of a layer of zeros are: that they agree proves little.
    """

    status: Status
    reason: str | None
    legs: tuple[Leg, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    ill_conditioned: IllConditioned | None = None
    precision_loss: PrecisionLoss | None = None
    refused: bool = False
    fixed: tuple[str, ...] = ()

    @property
    def largest_difference(self) -> float | None:
        """Returns how far the artifact's outputs are from their reference, over the largest; None without outputs."""
        own = (leg for leg in self.legs if leg.subject == ARTIFACT)
        return max((output.max_rel for leg in own for output in leg.outputs), default=None)


class Comparison:
    """Legs, as they are run, and the report of all.

    Attributes:
        ill_conditioned: set where it is found.
        constant: whether the model's outputs are the same for every image, as far as float32 tells; then each operation
            has to be looked at.
    """

    def __init__(self) -> None:
        self.ill_conditioned: IllConditioned | None = None
        self._legs: list[Leg] = []
        self._not_run: list[NotRun] = []
        self.constant = False
        self._refusal: str | None = None
        self._fixed: dict[str, None] = {}

    @property
    def legs(self) -> Sequence[Leg]:
        """Returns those that were run so far."""
        return tuple(self._legs)

    def add(self, candidate: Candidate, expected: Expected) -> None:
        """Runs the images through everything that opens the candidate."""
        first = len(self._legs)
        pairs = list(zip(expected.names, expected.outputs, strict=False))
        fixed = [name for name, output in pairs if np.ptp(output, axis=0).max(initial=0) <= VANISHING]
        told = fixed if len(fixed) == len(pairs) or not expected.detections else []  # a count is mostly the largest one
        self._fixed |= dict.fromkeys(told)
        self.constant |= len(fixed) == len(pairs)
        for opener in candidate.openers:
            if isinstance(opener, NotMeasured):
                self._not_run.append(NotRun(candidate.subject, opener.runner, opener.settings, opener.reason))
                continue
            try:
                self._legs.append(run_leg(opener(), candidate, expected))
            except RefusedError as error:
                self._not_run.append(NotRun(candidate.subject, "", {}, error.message))
                if candidate.subject == ARTIFACT:
                    self._refusal = self._refusal or error.message
            except ArtifactError as error:  # such as an op that the runner lacks: the file may be right all the same
                self._not_run.append(NotRun(candidate.subject, "", {}, error.message))
        self._legs[first:] = _name_optimizers(self._legs[first:], candidate, expected)

    def add_leg(self, leg: Leg) -> None:
        """Adds a leg that was run elsewhere."""
        self._legs.append(leg)

    def leave_out(self, subject: str, reason: str) -> None:
        """Notes a leg that does not apply."""
        self._not_run.append(NotRun(subject, "", {}, reason))

    def report(self, accepted: str | None = None) -> ParityReport:
        """Judges all legs: failed when any failed, passed only when the artifact itself was run.

        Args:
            accepted: why the cost of a precision is no failure, once the conversion is proved; None where it is one.
        """
        found, loss = accept_loss(self._legs, accepted)
        report = _conclude(found, self._not_run, self.constant)
        if self._refusal and report.status != "failed":
            report = replace(report, status="not_measured", reason=self._refusal)
        report = replace(report, refused=self._refusal is not None, fixed=tuple(self._fixed))
        return replace(report, ill_conditioned=self.ill_conditioned, precision_loss=loss)


def _name_optimizers(legs: Sequence[Leg], candidate: Candidate, expected: Expected) -> list[Leg]:
    """Returns the legs; where one passes and another fails, with the optimisers that the failing one is wrong by."""
    optimizations = candidate.optimizations
    if optimizations is None or not any(leg.passed for leg in legs):
        return list(legs)

    def passes(off: Sequence[str]) -> bool:
        return run_leg(optimizations.without(off)(), candidate, expected).passed

    found = []
    for leg in legs:
        names = () if leg.passed else find_optimizers(optimizations.names, passes)
        if names:
            why = f"{leg.reasons[0]}: {' and '.join(names)} of the runtime's own optimisations change the result"
            leg = replace(leg, reasons=(why, *leg.reasons[1:]), optimizers=names)
        found.append(leg)
    return found


def compare(expected: Expected, candidates: Sequence[Candidate]) -> ParityReport:
    """Runs the images through everything that opens every candidate, and judges it."""
    comparison = Comparison()
    for candidate in candidates:
        comparison.add(candidate, expected)
    return comparison.report()


def _conclude(legs: Sequence[Leg], not_run: Sequence[NotRun], constant: bool) -> ParityReport:
    found = (tuple(legs), tuple(not_run))
    failed = [leg for leg in legs if not leg.passed]
    if failed:
        return ParityReport("failed", "; ".join(f"{_describe(leg)}: {leg.reasons[0]}" for leg in failed), *found)
    if not any(leg.subject == ARTIFACT for leg in legs):
        reason = next((leg.reason for leg in not_run if leg.subject == ARTIFACT), "no runner here opens the artifact")
        return ParityReport("not_measured", reason, *found)
    own = [leg for leg in legs if leg.subject == ARTIFACT]
    shares = [output.unsure for leg in own for output in leg.outputs]
    shares += [decision.unsure for leg in own for decision in leg.decisions]
    proved = _is_proved_by_operation(own, legs, not_run)
    if min(shares, default=0.0) == 1 and not proved:
        reason = "rounding alone turns every decision of PyTorch's own: there was nothing to compare"
        return ParityReport("not_measured", reason, *found)
    if constant and not proved:
        reason = "the model's outputs do not depend on the image, as float32 tells it: they agree, which proves little"
        return ParityReport("not_measured", reason, *found)
    return ParityReport("passed", None, *found)


def _is_proved_by_operation(own: Sequence[Leg], legs: Sequence[Leg], not_run: Sequence[NotRun]) -> bool:
    """Tells whether each operation of an artifact was looked at, at every size; what was looked at is right."""
    whole = {f"{subject}{BY_OPERATION}" for subject in (ARTIFACT, UNROUNDED, INT8_UNROUNDED)}
    sizes = {leg.size for leg in legs if leg.subject in whole}
    left_out = any(leg.subject.endswith(BY_OPERATION) for leg in not_run)
    return {leg.size for leg in own} <= sizes and not left_out


def _describe(leg: Leg) -> str:
    return f"{leg.subject} at {leg.size[0]}x{leg.size[1]} in {' '.join([leg.runner, *leg.settings.values()])}"
