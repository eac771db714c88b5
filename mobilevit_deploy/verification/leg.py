"""One comparison: a runner's outputs beside the reference's, judged by a tolerance and by the reference's own noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog.recipe import Precision, Tolerance
from mobilevit_deploy.images.input_records import size_of
from mobilevit_deploy.runners.app_interface import chosen
from mobilevit_deploy.runners.base import IN_HALF, SUMS, NotMeasured, Opener, Runner, Values
from mobilevit_deploy.runners.reference import FLOAT32_UNIT, HALF_UNIT
from mobilevit_deploy.verification.detections import judge_detections
from mobilevit_deploy.verification.differences import Agreement, OutputDifference, judge_all, judge_decisions
from mobilevit_deploy.verification.expected import Expected, run_all
from mobilevit_deploy.verification.noise import (
    Noise,
    as_far_as_it_reaches,
    of_decisions,
    of_numbers,
    widen,
    without_rare,
)
from mobilevit_deploy.verification.optimizers import Optimizations

# Images for a runner that sums in half precision: on a CPU without that its matrix products take half a minute
# (lightvit_tiny in Core AI's runtime: 27 s), and what is sought is overflow.
HALF_SUMS_SAMPLES = 2

Allowance = Literal["noise", "decisions", "precision", "detections"]

ARTIFACT = "artifact"  # the subject of the legs that decide
# Subjects of the legs that prove a conversion to half precision or int8, for they round nothing.
UNROUNDED = "half precision, unrounded"
INT8_UNROUNDED = "int8, unrounded"
# Of the graph that an int8 file was lowered from, where the file cannot be read so: it proves no more than the graph.
INT8_GRAPH = "int8 graph, unrounded"
REPEATED = "same export, unrounded"
BY_OPERATION = ", by operation"  # ends the subject of a leg that looks at each operation by itself
NEAREST = 1e-6  # of the largest output, what right float32 files come to: a tolerance below it is meant as it stands


@dataclass(frozen=True)
class Leg:
    """One runner against the reference; ``reasons`` say what failed, ``size`` is (height, width) in pixels.

    Attributes:
        subject: what was compared.
        reference: with what.
        runner: that computed it.
        settings: of the runner.
        precision: of the subject.
        size: see above.
        samples: how many images.
        outputs: those that are numbers.
        decisions: those that are whole numbers or truth values.
        tolerance: what was allowed.
        reasons: see above.
        beyond: why it is not within the recipe's own tolerance, where it passes all the same.
        allowance: why it does: it is no farther than PyTorch's own float32 comes; it is farther only where PyTorch's
            own decisions turn; the precision may cost so much; or what an app chooses among its boxes is the same.
        own_loss: what PyTorch loses when it rounds as the artifact does.
        lossy: whether what the precision costs may be all that is the matter: every value is there, and is a number.
        optimizers: of the runtime, which change the result: with these switched off the leg passes.
    """

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
    decisions: tuple[Agreement, ...] = ()
    beyond: tuple[str, ...] = ()
    allowance: Allowance | None = None
    own_loss: tuple[OutputDifference, ...] = ()
    lossy: bool = False
    optimizers: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Tells whether every output is within the tolerance."""
        return not self.reasons


@dataclass(frozen=True)
class Candidate:
    """Something that should compute what PyTorch computed, and what opens it, one runner after the other.

    ``subject`` says what it is: a step on the way, or the artifact. ``rounded`` opens PyTorch in its own arithmetic,
    ``optimizations`` the subject without some of what its runtime does to the graph.
    """

    subject: str
    precision: Precision
    tolerance: Tolerance
    openers: Sequence[Opener | NotMeasured]
    rounded: Opener | None = None
    optimizations: Optimizations | None = None


def run_leg(runner: Runner, candidate: Candidate, expected: Expected) -> Leg:
    """Runs the images through an opened candidate, and judges what comes out."""
    tolerance, images, share = candidate.tolerance, expected.images, Fraction(1)
    if runner.settings.get(SUMS) == IN_HALF:
        tolerance = tolerance.half_sums or tolerance
        images = images[-max(HALF_SUMS_SAMPLES, expected.batch) :]
        share = Fraction(len(images), len(expected.images))
    found = run_all(runner, images, expected.batch)
    height, width = size_of(expected.images)
    leg = Leg(
        candidate.subject,
        expected.reference,
        runner.name,
        runner.settings,
        candidate.precision,
        (height, width),
        len(images),
        (),
        tolerance,
        (),
    )
    if expected.detections:
        leg = _compare_detections(leg, expected, found, share)
    else:
        leg = _compare_numbers(leg, expected, found, share)
        leg = _compare_decisions(leg, expected, found, share)
        leg = _compare_chosen(leg, expected, found, share)
    if not leg.reasons or leg.precision == "fp32":
        return leg
    complete = expected.detections or len(leg.outputs) + len(leg.decisions) == len(expected.names)
    lossy = complete and all(np.isfinite(output).all() for output in found)
    if not lossy or candidate.rounded is None:
        return replace(leg, lossy=lossy)
    if expected.detections:  # no number of one place says what rounding costs
        return replace(leg, lossy=True)
    rounded = run_all(candidate.rounded(), images, expected.batch)
    return replace(leg, lossy=True, own_loss=_compare_numbers(leg, expected, rounded, share).outputs)


def _compare_numbers(leg: Leg, expected: Expected, found: Sequence[Values], share: Fraction) -> Leg:
    """Returns the leg with the outputs that are numbers; where they are too far, by the noise of the reference."""
    if len(found) != len(expected.outputs):
        return replace(leg, reasons=(f"{len(found)} outputs instead of {len(expected.outputs)}",))
    chosen = [i for i, whole in enumerate(expected.whole) if not whole]
    names = [expected.names[i] for i in chosen]
    before, after = [_last(expected.outputs[i], share) for i in chosen], [found[i] for i in chosen]
    differences, reasons = judge_all(names, before, after, leg.tolerance)
    strict = replace(leg, outputs=tuple(differences), reasons=tuple(reasons))
    if not reasons or leg.precision not in ("fp32", "fp16") or leg.tolerance.max_rel < NEAREST:
        return strict
    far = expected.far(_unit(leg.precision))
    if far is None:
        return strict
    moved = [_last(far[i], share) for i in chosen]
    noise = [of_numbers(own, output, leg.tolerance) for own, output in zip(moved, before, strict=True)]
    # Half precision is held to its tolerance where the reference is sure; what it costs beyond that is no noise.
    exact = leg.precision == "fp32"
    if exact:
        each = zip(noise, moved, before, after, strict=True)
        noise = [without_rare(*of_one, leg.tolerance) for of_one in each]
        noise = [as_far_as_it_reaches(own, output) for own, output in zip(noise, before, strict=True)]
    differences, reasons = judge_all(names, before, after, leg.tolerance, noise, as_far_as_noise=exact)
    widest = leg.tolerance
    for output, own in zip(before, noise, strict=True):
        widest = widen(widest, output, own) if exact else widest
    if widest is leg.tolerance and not any(own.unsure for own in noise):
        return strict
    judged = replace(leg, outputs=tuple(differences), tolerance=widest, reasons=tuple(reasons))
    if reasons:
        return judged
    return replace(judged, beyond=strict.reasons, allowance="decisions" if widest is leg.tolerance else "noise")


def _compare_decisions(leg: Leg, expected: Expected, found: Sequence[Values], share: Fraction) -> Leg:
    """Returns the leg with the outputs that are whole numbers, where the reference is sure of them."""
    decisions, reasons = [], list(leg.reasons)
    for i, (name, before, after) in enumerate(zip(expected.names, expected.outputs, found, strict=False)):
        if not expected.whole[i]:
            continue
        far = expected.far(_unit(leg.precision)) if np.ptp(before) else None
        noise = of_decisions(np.zeros_like(before) if far is None else far[i])
        agreement, why = judge_decisions(
            name, _last(before, share), after, leg.tolerance, Noise(_last(noise.sure, share))
        )
        decisions.append(agreement)
        reasons += why
    return replace(leg, decisions=tuple(decisions), reasons=tuple(reasons))


def _compare_detections(leg: Leg, expected: Expected, found: Sequence[Values], share: Fraction) -> Leg:
    """Returns the leg with the detections; where some are missing, those of which the reference is sure."""
    if len(found) != len(expected.outputs):
        return replace(leg, reasons=(f"{len(found)} outputs instead of {len(expected.outputs)}",))
    before = [_last(output, share) for output in expected.outputs]
    agreement, reasons = judge_detections(before, found, leg.tolerance, ())
    if reasons and leg.precision in ("fp32", "fp16"):
        runs = [[_last(output, share) for output in run] for run in expected.moved(_unit(leg.precision))]
        agreement, reasons = judge_detections(before, found, leg.tolerance, runs)
    return replace(leg, decisions=(agreement,), reasons=tuple(reasons))


def _compare_chosen(leg: Leg, expected: Expected, found: Sequence[Values], share: Fraction) -> Leg:
    """Returns the leg; of a compressed file whose numbers are too far, with the detections that an app takes of them.

    The largest difference of thousands of scores is that of one box, which may be none that an app shows.
    """
    rule = expected.chosen_by
    if rule is None or leg.tolerance.detections is None or not leg.reasons:
        return leg
    before = [_last(output, share) for output in expected.outputs]
    same = [output.shape for output in before] == [output.shape for output in found]
    if not same or not all(np.isfinite(output).all() for output in found):
        return leg
    agreement, reasons = judge_detections(
        chosen(rule, before, *leg.size), chosen(rule, found, *leg.size), leg.tolerance, ()
    )
    if not agreement.count:  # where PyTorch shows nothing, the numbers alone say something
        return leg
    if reasons:
        return replace(leg, reasons=(*leg.reasons, *reasons))
    decisions = (*leg.decisions, agreement)
    return replace(leg, reasons=(), decisions=decisions, beyond=leg.reasons, allowance="detections")


def _last(values: npt.NDArray[Any], share: Fraction) -> npt.NDArray[Any]:
    """Returns the rows of the last images; one image has 16 where a model returns (16, 32, 32), without a batch."""
    return values[len(values) - int(len(values) * share) :]


def _unit(precision: Precision) -> float:
    """Returns what one rounding moves a value by."""
    return FLOAT32_UNIT if precision == "fp32" else HALF_UNIT
