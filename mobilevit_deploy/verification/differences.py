"""How far outputs are from what they should be, and whether that is within a tolerance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.runners.base import Values

Outputs = Sequence[Values]

# Another order of summation is another float32 result. Where PyTorch's own float32 is further from its float64 than the
# tolerance, a right graph can be further from it too: by four times that, as both err, and by a factor for luck. Beyond
# the cap the model loses so much in float32 that a wrong op could hide in it.
ROUNDING_FACTOR = 4.0
ROUNDING_CAP = 1e-3
FLOAT32_ROUNDING = 1e-6  # of the largest output, what right files of the catalog's models come to
# Two classes whose scores are nearer than rounding can move them are one: by this share of the largest score in
# float32, and where a tolerance is so wide that it is half precision's, by what right half-precision files differ by.
FLOAT32_TIE = 1e-5
HALF_TIE = 1e-3


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
    """

    name: str
    max_abs: float
    max_rel: float
    snr_db: float
    top1_agreement: float | None
    spread: float


def measure(name: str, expected: Values, found: Values, tie: float = FLOAT32_TIE) -> OutputDifference:
    """Measures one output, (N, ...), of N samples; NaN in either makes every figure NaN.

    Args:
        name: of the output.
        expected: the reference's values.
        found: the other's.
        tie: share of the largest value that rounding may move a score by; classes nearer than twice that are one.
    """
    with np.errstate(all="ignore"):  # infinite values are reported by _judge and need no warning here
        error = found - expected
        largest = float(np.abs(expected).max())
        centred = expected - expected.mean(axis=0)
        max_abs = float(np.abs(error).max())
        snr_db = float(10 * np.log10((centred**2).sum() / (error**2).sum()))
        spread = float(np.abs(centred).max()) / largest if largest else 0.0
    return OutputDifference(
        name=name,
        max_abs=max_abs,
        max_rel=max_abs / largest if largest else max_abs,
        snr_db=snr_db,
        top1_agreement=_top1_agreement(expected, found, min(max_abs, tie * largest)) if expected.ndim == 2 else None,
        spread=spread,
    )


def judge_all(
    names: Sequence[str], expected: Outputs, found: Outputs, tolerance: Tolerance
) -> tuple[list[OutputDifference], list[str]]:
    """Measures every output, (N, ...), and returns why they are not within the tolerance, if they are not."""
    reasons: list[str] = []
    differences = []
    if len(expected) != len(found):
        reasons.append(f"{len(found)} outputs instead of {len(expected)}")
    for name, before, after in zip(names, expected, found, strict=False):
        if before.shape != after.shape:
            reasons.append(f"{name} has the shape {after.shape[1:]} instead of {before.shape[1:]}")
            continue
        difference = measure(name, before, after, HALF_TIE if tolerance.max_rel > HALF_TIE else FLOAT32_TIE)
        differences.append(difference)
        reasons += _judge(difference, before, after, tolerance)
    return differences, reasons


def allow_rounding(tolerance: Tolerance, own: Sequence[OutputDifference]) -> Tolerance | None:
    """Returns a wider tolerance where PyTorch's own float32 comes near the recipe's, or None where it does not."""
    if tolerance.max_rel < FLOAT32_ROUNDING:
        return None  # no file can be nearer than that: it is meant as it stands
    largest = ROUNDING_FACTOR * max((difference.max_rel for difference in own), default=0.0)
    if not tolerance.max_rel < largest <= ROUNDING_CAP:
        return None
    snr = min(difference.snr_db for difference in own) - 20 * np.log10(ROUNDING_FACTOR)
    reason = f"{ROUNDING_FACTOR:.0f} times what PyTorch's own float32 differs from its float64; {tolerance.reason}"
    return tolerance.model_copy(
        update={"max_rel": largest, "snr_db": min(tolerance.snr_db, float(snr)), "reason": reason}
    )


def _top1_agreement(reference: Values, other: Values, rounding: float) -> float:
    """Returns the share of samples with the same class; ties that rounding alone can turn count as the same."""
    rows = np.arange(len(reference))
    with np.errstate(all="ignore"):
        margin = reference.max(axis=1) - reference[rows, other.argmax(axis=1)]
        return float((margin <= 2 * rounding).mean())


def _judge(difference: OutputDifference, expected: Values, found: Values, tolerance: Tolerance) -> list[str]:
    """Returns why an output is not within the tolerance; non-finite values first, for they explain the rest."""
    name = difference.name
    for what, values in (("the reference's", expected), ("the artifact's", found)):
        broken = int((~np.isfinite(values)).sum())
        if broken:
            return [f"{what} {name} has {broken} values that are NaN or infinite"]
    reasons = []
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
