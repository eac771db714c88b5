"""Whether an artifact computes what PyTorch computed: measured on structured images, judged by the recipe.

The comparison goes in legs, each against PyTorch before any rewrite, so that a failure shows its cause: the rewritten
graph, a conversion of it in float32, the precision that is shipped, the compressed weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mobilevit_deploy.catalog.recipe import Precision, Tolerance
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.runners.base import IN_HALF, SUMS, Array, NotMeasured, Opener, Runner, Values
from mobilevit_deploy.verification.differences import OutputDifference, allow_rounding, judge_all, measure

# Images for a runner that sums in half precision: on a CPU without that its matrix products take half a minute
# (lightvit_tiny in Core AI's runtime: 27 s), and what is sought is overflow.
HALF_SUMS_SAMPLES = 2

Status = Literal["passed", "failed", "not_measured"]

PYTORCH = "PyTorch"
ARTIFACT = "artifact"  # the subject of the legs that decide


@dataclass(frozen=True)
class Leg:
    """One runner against the reference; ``reasons`` say what failed, ``size`` is (height, width) in pixels."""

    subject: str
    reference: str
    runner: str
    settings: Mapping[str, str]
    precision: Precision
    size: tuple[int, int]
    samples: int
    outputs: tuple[OutputDifference, ...]
    tolerance: Tolerance
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Tells whether every output is within the tolerance."""
        return not self.reasons


@dataclass(frozen=True)
class NotRun:
    """A leg that could not be run, and why."""

    subject: str
    runner: str
    settings: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class ParityReport:
    """All legs; ``not_measured`` is never a pass, and has its reason, and so has each leg that was not run."""

    status: Status
    reason: str | None
    legs: tuple[Leg, ...] = ()
    not_run: tuple[NotRun, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """Something that should compute what PyTorch computed, and what opens it, one runner after the other.

    ``subject`` says what it is: a step on the way, or the artifact.
    """

    subject: str
    precision: Precision
    tolerance: Tolerance
    openers: Sequence[Opener | NotMeasured]


class Expected:
    """What PyTorch computes, before any rewrite; or what a step does that was compared with it.

    Attributes:
        reference: what computed them.
        images: (N, C, H, W); N is a multiple of the batch.
        batch: the artifact's batch size.
        names: of the outputs.
        outputs: each (N, ...).
    """

    def __init__(
        self,
        reference: Runner,
        images: Array,
        batch: int,
        names: Sequence[str],
        exact: Opener | None = None,
        description: str = PYTORCH,
    ) -> None:
        """Runs the reference.

        Args:
            reference: PyTorch in float32.
            images: see above.
            batch: see above.
            names: see above.
            exact: opens PyTorch in float64, to tell rounding from a wrong op where a float32 leg fails.
            description: of the reference, where it is another.
        """
        self.reference = description
        self.images, self.batch, self.names = images, batch, tuple(names)
        self.outputs = run_all(reference, images, batch)
        self._exact = exact

    def own_rounding(self) -> list[OutputDifference]:
        """Returns how far PyTorch's float32 is from its float64, by output; nothing where it has no float64."""
        if self._exact is None:
            return []
        try:
            exact = run_all(self._exact(), self.images, self.batch)
        except (RuntimeError, NotImplementedError, TypeError):  # what ATen raises for a dtype that an op lacks
            return []
        return [measure(*item) for item in zip(self.names, exact, self.outputs, strict=False)]


class Comparison:
    """Legs, as they are run, and the report of all."""

    def __init__(self) -> None:
        self._legs: list[Leg] = []
        self._not_run: list[NotRun] = []
        self._constant = False

    def add(self, candidate: Candidate, expected: Expected) -> None:
        """Runs the images through everything that opens the candidate."""
        self._constant |= all(np.ptp(output, axis=0).max(initial=0) == 0 for output in expected.outputs)
        for opener in candidate.openers:
            if isinstance(opener, NotMeasured):
                self._not_run.append(NotRun(candidate.subject, opener.runner, opener.settings, opener.reason))
                continue
            try:
                self._legs.append(_leg(opener(), candidate, expected))
            except ArtifactError as error:  # such as an op that the runner lacks: the file may be right all the same
                self._not_run.append(NotRun(candidate.subject, "", {}, error.message))

    def leave_out(self, subject: str, reason: str) -> None:
        """Notes a leg that does not apply."""
        self._not_run.append(NotRun(subject, "", {}, reason))

    def report(self) -> ParityReport:
        """Judges all legs: failed when any failed, passed only when the artifact itself was run."""
        return _conclude(self._legs, self._not_run, self._constant)


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
    if constant:
        reason = "the model's outputs do not depend on the image: they agree, which proves little"
        return ParityReport("not_measured", reason, *found)
    return ParityReport("passed", None, *found)


def _describe(leg: Leg) -> str:
    return f"{leg.subject} at {leg.size[0]}x{leg.size[1]} in {' '.join([leg.runner, *leg.settings.values()])}"


def run_all(runner: Runner, images: Array, batch: int) -> list[Values]:
    """Returns each output over all images, (N, ...)."""
    parts = [runner.run(images[i : i + batch]) for i in range(0, len(images), batch)]
    # Booleans become numbers, and an output without axes gets one.
    return [np.concatenate(list(map(np.atleast_1d, output))).astype(np.float64) for output in zip(*parts, strict=True)]


def _leg(runner: Runner, candidate: Candidate, expected: Expected) -> Leg:
    tolerance, images, outputs = candidate.tolerance, expected.images, expected.outputs
    if runner.settings.get(SUMS) == IN_HALF:
        tolerance = tolerance.half_sums or tolerance
        count = max(HALF_SUMS_SAMPLES, expected.batch)
        images, outputs = images[-count:], [output[-count:] for output in outputs]
    found = run_all(runner, images, expected.batch)
    differences, reasons = judge_all(expected.names, outputs, found, tolerance)
    if reasons and candidate.precision == "fp32":
        relaxed = allow_rounding(tolerance, expected.own_rounding())
        if relaxed:
            tolerance = relaxed
            differences, reasons = judge_all(expected.names, outputs, found, tolerance)
    height, width = expected.images.shape[2:]
    return Leg(
        candidate.subject,
        expected.reference,
        runner.name,
        runner.settings,
        candidate.precision,
        (height, width),
        len(images),
        tuple(differences),
        tolerance,
        tuple(reasons),
    )
