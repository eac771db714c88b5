"""What PyTorch itself loses by rounding, place by place: the floor below which nothing can be called wrong.

PyTorch in float32 is run beside float64: once as it is, and several times with its weights, pixels and constants moved
by a few roundings (as Monte Carlo arithmetic, Parker 1997, and CESTAC, Vignes 1974, move every result). Where those
runs stay together the reference is sure of its digits. Where one of them decides otherwise, as an ``argmax`` of two
nearly equal values does, the reference is not sure, and neither value is wrong there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import nn

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.runners.base import Runner, Values
from mobilevit_deploy.runners.reference import PerturbedRunner

# Another order of summation is another float32 result, and folded weights are rounded elsewhere. What a right artifact
# loses is of the size of what PyTorch loses: both err, and one of them may be lucky. Four times as much is luck enough:
# of deeplabv3 with random weights, PyTorch's own float32 happened to be 18 dB nearer than ONNX Runtime's, and 33 dB
# nearer than PyTorch's with all numbers moved by four roundings.
FACTOR = 4.0
# Pairs of runs, each with the same numbers moved one way and the other way. A place whose margin lies within the
# noise stays unseen by three such pairs in 0.06 % of the cases (normal noise, moved four times as far as the file's).
PAIRS = 3
MISSED = 0.02  # so of the places that are seen to be unsure, this share may have been missed besides
# Times the median of the noise: a place that moves farther than this decides, and does not round. Among a million of
# normal numbers the largest is 8 times the median.
JUMP = 16.0

# How often its noise a single number is from the reference, where it is right. The noise is the farthest of seven runs,
# and one run in eight goes farther than the farthest of seven others. The farthest of many numbers is known better.
ALONE = 2.0
# The same of one of many, which has more chances to go far: a place of RetinaNet's boxes on ``cas_vit_xs`` with random
# weights came to 1.4 times the tolerance in XNNPACK, in LiteRT's own kernels to 0.9 times.
FARTHEST = 4.0
# dB that are allowed more where the noise is larger than what the images change, for there all places move together, as
# one number does. An output of RT-DETR with random weights came to -8.1 dB in XNNPACK, where PyTorch's runs had -8.0.
DROWNED = 20 * float(np.log10(ALONE))

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Noise:
    """What the reference loses of one output.

    Attributes:
        sure: of every place, (N, ...), whether the reference is.
        floor: how far rounding moved the others; nothing nearer can be called wrong.
        power: the sum of the squares of how far it moved them.
    """

    sure: Mask
    floor: float = 0.0
    power: float = 0.0

    @property
    def unsure(self) -> int:
        """Returns how many places it is not sure of."""
        return int(self.sure.size - self.sure.sum())


def may_miss(unsure: int) -> int:
    """Returns how many places may be taken for sure ones that are not, where so many were found."""
    return int(MISSED * unsure)


def perturbed(module: nn.Module, unit: float) -> Iterable[Callable[[], Runner]]:
    """Yields what opens PyTorch with its numbers moved by ``FACTOR`` roundings of this size, each way."""
    for seed in range(PAIRS):
        for sign in (FACTOR, -FACTOR):
            yield partial(PerturbedRunner, module, seed, sign * unit)


def farthest(expected: Sequence[Values], runs: Iterable[tuple[Sequence[Values], float]]) -> list[Values]:
    """Returns how far each place of each output, (N, ...), came from what is expected, in any of the runs.

    Args:
        expected: by the reference.
        runs: the same outputs of each, and by how much its distance counts.
    """
    largest = [np.zeros_like(output) for output in expected]
    for outputs, factor in runs:
        for far, before, after in zip(largest, expected, outputs, strict=True):
            with np.errstate(all="ignore"):
                distance = factor * np.abs(after - before)
            np.maximum(far, np.nan_to_num(distance, nan=np.inf, posinf=np.inf), out=far)
    return largest


def of_numbers(far: Values, expected: Values, tolerance: Tolerance) -> Noise:
    """Returns the noise of a floating-point output, of which ``far`` says how far each place was moved.

    A place that moves farther than all others is alone with its noise. It is sure only where that, as often as it may
    be passed by, stays within the tolerance. Of RetinaNet's boxes on ``cloformer_xxs`` with random weights, a place
    whose noise was just below the tolerance came to 1.1 times the tolerance in ONNX Runtime.
    """
    there = far[(far > 0) | (expected != 0)]  # an activation leaves zeros, which say nothing of the noise of the others
    jump = JUMP * float(np.median(there)) if there.size else 0.0
    sure = far <= max(tolerance.max_rel * float(np.abs(expected).max(initial=0)) / ALONE, jump)
    return Noise(sure, float(far[sure].max(initial=0)), float((far[sure] ** 2).sum()))


def without_rare(noise: Noise, far: Values, expected: Values, found: Values, tolerance: Tolerance) -> Noise:
    """Returns the noise; not sure of a few places beyond the tolerance that are within ``FARTHEST`` times their own.

    Where more than ``MISSED`` of all places are so far, that is no chance: the same noise is returned.
    """
    if found.shape != expected.shape:
        return noise
    off = np.abs(found - expected)
    rare = noise.sure & (off > tolerance.max_rel * np.abs(expected).max(initial=0)) & (off <= FARTHEST * far)
    return replace(noise, sure=noise.sure & ~rare) if 0 < rare.sum() <= MISSED * rare.size else noise


def as_far_as_it_reaches(noise: Noise, expected: Values) -> Noise:
    """Returns the noise; sure of no place where it reaches half as far as the values do.

    Of values that a decision turns as a whole, such as boxes in the order of nearly equal scores, the noise is as large
    as their range lets it be. No factor of it then bounds what another order comes to.
    """
    return Noise(np.zeros_like(noise.sure)) if noise.floor and noise.floor >= np.ptp(expected) / 2 else noise


def of_decisions(far: Values) -> Noise:
    """Returns the noise of an output of whole numbers or truth values: a place is sure that never changed."""
    return Noise(far == 0)


def widen(tolerance: Tolerance, expected: Values, noise: Noise) -> Tolerance:
    """Returns a tolerance of an output that reaches as far as its noise; the same one where that is nearer."""
    largest, centred = np.abs(expected).max(initial=0), (expected - expected.mean(axis=0))[noise.sure]
    relative = max(tolerance.max_rel, float(noise.floor / largest) if largest else noise.floor)
    snr = tolerance.snr_db
    if noise.power:
        with np.errstate(divide="ignore"):
            ratio = float(10 * np.log10((centred**2).sum() / noise.power))
        snr = min(snr, ratio if ratio > 0 else ratio - DROWNED)
    if (relative, snr) == (tolerance.max_rel, tolerance.snr_db):
        return tolerance
    reason = f"{FACTOR:.0f} times what PyTorch's own float32 differs from its float64; {tolerance.reason}"
    return tolerance.model_copy(update={"max_rel": relative, "snr_db": snr, "reason": reason})
