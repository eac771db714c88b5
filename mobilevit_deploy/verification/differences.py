"""How far outputs are from what they should be, and whether that is within a tolerance.

Numbers are compared by their difference. Decisions, such as the indices of ``topk`` or a map of labels, are compared by
agreement. Either way where the reference is sure: see ``noise``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.runners.base import Values
from mobilevit_deploy.verification.noise import Noise, may_miss, widen

Outputs = Sequence[Values]

# Two classes whose scores are nearer than rounding can move them are one: by this share of the largest score in
# float32, and where a tolerance is so wide that it is half precision's, by what right half-precision files differ by.
FLOAT32_TIE = 1e-5
HALF_TIE = 1e-3
MAP_AXES = 3  # of a map of labels: (N, H, W)
# What is smaller than float32's smallest normal number, a runtime may take for zero: XNNPACK does, PyTorch does not.
VANISHING = float(np.finfo(np.float32).smallest_normal)


@dataclass(frozen=True)
class OutputDifference:
    """One output over all samples.

    Attributes:
        name: of the output.
        max_abs: largest difference.
        max_rel: the same over the largest reference value.
        snr_db: power of the reference, centred over the samples, over the power of the difference.
        top1_agreement: share of samples with the same class; None unless the output is (B, classes).
        spread: largest distance of a sample's reference from the samples' mean, over the largest value.
        unsure: share of the places that were left out, for the reference itself changes there by rounding alone.
    """

    name: str
    max_abs: float
    max_rel: float
    snr_db: float
    top1_agreement: float | None
    spread: float
    unsure: float = 0.0


@dataclass(frozen=True)
class Agreement:
    """An output of whole numbers or truth values, over all samples.

    Attributes:
        name: of the output.
        agreement: share of the places with the same value, of those where the reference is sure.
        unsure: share of the places where it is not.
    """

    name: str
    agreement: float
    unsure: float


def measure(
    name: str, expected: Values, found: Values, tie: float = FLOAT32_TIE, noise: Noise | None = None
) -> OutputDifference:
    """Measures one output, (N, ...), of N samples; NaN in either makes every figure NaN.

    Args:
        name: of the output.
        expected: the reference's values.
        found: the other's.
        tie: share of the largest value that rounding may move a score by; classes nearer than twice that are one.
        noise: of the reference, which says where it is sure.
    """
    with np.errstate(all="ignore"):  # infinite values are reported by judge_all and need no warning here
        largest = float(np.abs(expected).max(initial=0))
        centred = expected - expected.mean(axis=0)
        error, left = found - expected, centred
        if noise is not None:
            error, left = error[noise.sure], centred[noise.sure]
            # A few of the unsure places are taken for sure ones: those that differ most may be among them.
            error = np.sort(np.abs(error))[: error.size - may_miss(noise.unsure)] if noise.unsure else error
        max_abs = float(np.abs(error).max(initial=0))
        snr_db = float(10 * np.log10((left**2).sum() / (error**2).sum())) if error.any() else float("inf")
        spread = float(np.abs(centred).max(initial=0)) / largest if largest else 0.0
        rounding = min(max_abs, tie * largest if noise is None else max(tie * largest, noise.floor))
    return OutputDifference(
        name=name,
        max_abs=max_abs,
        max_rel=max_abs / largest if largest else max_abs,
        snr_db=snr_db,
        top1_agreement=_top1_agreement(expected, found, rounding, noise) if expected.ndim == 2 else None,
        spread=spread,
        unsure=0.0 if noise is None else noise.unsure / expected.size,
    )


def judge_all(
    names: Sequence[str],
    expected: Outputs,
    found: Outputs,
    tolerance: Tolerance,
    noise: Sequence[Noise] | None = None,
    *,
    as_far_as_noise: bool = False,
) -> tuple[list[OutputDifference], list[str]]:
    """Measures every output, (N, ...), and returns why they are not within the tolerance, if they are not.

    Args:
        names: of the outputs.
        expected: the reference's.
        found: the other's.
        tolerance: of each.
        noise: of the reference, by output; places that it is not sure of are left out.
        as_far_as_noise: whether an output may also differ by as much as the noise.
    """
    reasons: list[str] = []
    differences = []
    if len(expected) != len(found):
        reasons.append(f"{len(found)} outputs instead of {len(expected)}")
    for i, (name, before, after) in enumerate(zip(names, expected, found, strict=False)):
        if before.shape != after.shape:
            reasons.append(other_shape(name, before, after))
            continue
        tie = HALF_TIE if tolerance.max_rel > HALF_TIE else FLOAT32_TIE
        own = noise[i] if noise else None
        difference = measure(name, before, after, tie, own)
        differences.append(difference)
        allowed = widen(tolerance, before, own) if own and as_far_as_noise else tolerance
        reasons += not_finite(name, before, after) or _judge(difference, allowed)
    return differences, reasons


def judge_decisions(
    name: str, expected: Values, found: Values, tolerance: Tolerance, noise: Noise
) -> tuple[Agreement, list[str]]:
    """Compares whole numbers or truth values, (N, ...), where the reference is sure; returns why they do not agree.

    An artifact may return them as floating-point numbers: what is nearer than the tolerance is the same.
    """
    if expected.shape != found.shape:
        return Agreement(name, 0.0, 0.0), [other_shape(name, expected, found)]
    with np.errstate(invalid="ignore"):
        same = np.abs(found - expected) <= min(
            0.5, tolerance.max_rel * max(1.0, float(np.abs(expected).max(initial=0)))
        )
    wrong = int((~same)[noise.sure].sum())
    sure = expected.size - noise.unsure
    agreement = Agreement(name, 1 - wrong / max(sure, 1), noise.unsure / max(expected.size, 1))
    # Of a map; a label for each image is one of few, of which a share says little.
    least = tolerance.labels if tolerance.labels is not None and expected.ndim >= MAP_AXES else tolerance.top1_agreement
    if wrong <= may_miss(noise.unsure) or agreement.agreement >= least:
        return agreement, not_finite(name, expected, found)
    return agreement, [
        f"{name} has {wrong} other values in the {sure} places where the reference is sure; "
        f"{agreement.agreement:.2%} agree, less than {least:.0%}"
    ]


def _top1_agreement(reference: Values, other: Values, rounding: float, noise: Noise | None) -> float | None:
    """Returns the share of samples with the same class; ties that rounding alone can turn count as the same."""
    if noise is not None:  # a sample of which some scores are not sure has no class
        rows = noise.sure.all(axis=1)
        reference, other = reference[rows], other[rows]
    if not len(reference):
        return None
    with np.errstate(all="ignore"):
        margin = reference.max(axis=1) - reference[np.arange(len(reference)), other.argmax(axis=1)]
        return float((margin <= 2 * rounding).mean())


def other_shape(name: str, expected: Values, found: Values) -> str:
    """Returns that an output has another shape."""
    return f"{name} has the shape {found.shape[1:]} instead of {expected.shape[1:]}"


def not_finite(name: str, expected: Values, found: Values) -> list[str]:
    """Returns that an output has values which are no numbers; they explain whatever else is wrong."""
    for what, values in (("the reference's", expected), ("the artifact's", found)):
        broken = int((~np.isfinite(values)).sum())
        if broken:
            return [f"{what} {name} has {broken} values that are NaN or infinite"]
    return []


def _judge(difference: OutputDifference, tolerance: Tolerance) -> list[str]:
    """Returns why an output is not within the tolerance."""
    name, reasons = difference.name, []
    if difference.max_abs <= VANISHING:
        return []
    if difference.max_rel > tolerance.max_rel:
        reasons.append(
            f"{name} differs by {difference.max_rel:.1e} of the largest value, more than {tolerance.max_rel:.0e}"
        )
    if difference.snr_db < tolerance.snr_db:
        flat = ", for it is all but the same for every image" if difference.spread < tolerance.max_rel else ""
        reasons.append(f"{name} has an SNR of {difference.snr_db:.1f} dB, less than {tolerance.snr_db:.0f} dB{flat}")
    agreement = difference.top1_agreement
    if agreement is not None and agreement < tolerance.top1_agreement:
        reasons.append(f"{name} has {agreement:.0%} of the classes, less than {tolerance.top1_agreement:.0%}")
    return reasons
