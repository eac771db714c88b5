"""Detections, compared as such: matched by class and overlap; those that rounding alone brings or takes are told apart.

A box that is left is a decision. Where two boxes score nearly the same, or overlap by nearly the threshold, rounding
turns it, and then other boxes are left. PyTorch itself is run with all numbers moved by a few roundings (``noise``):
what is in all of those runs is sure, and what is in any of them is no mistake. How many another run would turn that
none of them did is known, too: those that one run alone turned, over the number of runs (Good, Biometrika 40, 1953).
Masks, where there are any, are compared of the detections that are on both sides, as numbers and by what lies above
``MASK_THRESHOLD``.

A compressed detector is held to its decisions as a whole: to the share that both sides have, and to the root mean
square of the differences of their scores. One box of a hundred may lose a score that the others keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobilevit_deploy.architectures.operations.suppression import overlaps
from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.runners.base import Values
from mobilevit_deploy.verification.differences import HALF_TIE, Agreement, not_finite, other_shape
from mobilevit_deploy.verification.noise import FACTOR, Mask

OUTPUTS = ("boxes", "scores", "labels", "count", "masks")  # the last of instances only
MASK_THRESHOLD = 0.5  # of MMDetection: what lies above it belongs to the instance
# Of two boxes that are one. float32 moves a side by millionths; half precision has a quarter of a pixel at 512, and of
# a box of 8 pixels 0.94 is left then.
FLOAT32_IOU = 0.99
HALF_IOU = 0.9
COMPRESSED_IOU = 0.5  # what AP50 counts as found: Lin et al., arXiv 1405.0312

OfImage = tuple[Values, Values, Values]  # boxes (n, 4), scores (n,), labels (n,)
Found = Sequence[Values]  # of N images: boxes (N, K, 4), scores (N, K), labels (N, K), count (N,) or (N, 1), masks


@dataclass(frozen=True)
class DetectionAgreement(Agreement):
    """The detections of all samples; ``agreement`` is the share of both sides' that are on the other, too.

    Attributes:
        count: of the reference's.
        missing: of the reference's sure ones, how many are not found.
        extra: how many are found that neither the reference nor its noise has.
        smallest_iou: of a pair.
        largest_score_difference: of a pair.
        rms_score_difference: of all pairs, the root of the mean square.
        largest_mask_difference: of a pixel of a pair; None where there are no masks.
        turned_mask_pixels: which lie on the other side of the threshold, though the reference is sure of them.
    """

    count: int = 0
    missing: int = 0
    extra: int = 0
    smallest_iou: float = 1.0
    largest_score_difference: float = 0.0
    rms_score_difference: float = 0.0
    largest_mask_difference: float | None = None
    turned_mask_pixels: int = 0


@dataclass(frozen=True)
class Pairs:
    """Detections of one image on two sides.

    Attributes:
        first: of each of the first side's, the place of its like on the second; -1 for none.
        second: the other way about.
        ious: of the pairs.
        score_differences: of the pairs.
    """

    first: Values
    second: Values
    ious: Values
    score_differences: Values


def judge_detections(
    expected: Found, found: Found, tolerance: Tolerance, runs: Sequence[Found]
) -> tuple[DetectionAgreement, list[str]]:
    """Compares the detections of N images; returns why they do not agree.

    Args:
        expected: the reference's.
        found: the other's.
        tolerance: of the scores; which share must agree. With ``detections`` the file is a compressed one.
        runs: the reference's with its numbers moved; none to take all for sure.
    """
    name = "detections"
    for output, values, others_values in zip(OUTPUTS, expected, found, strict=False):
        if values.shape != others_values.shape:
            return DetectionAgreement(name, 0.0, 0.0), [other_shape(output, values, others_values)]
        if reasons := not_finite(output, values, others_values):
            return DetectionAgreement(name, 0.0, 0.0), reasons
    compressed = tolerance.detections is not None
    limit = COMPRESSED_IOU if compressed else HALF_IOU if tolerance.max_rel > HALF_TIE else FLOAT32_IOU
    reach = 0.0 if compressed else tolerance.max_rel * float(np.abs(expected[0]).max(initial=0))
    count = unsure = missing = extra = paired = once = 0
    ious, differences, allowed = [np.ones(1)], [np.zeros(0)], tolerance.max_rel
    masks = MaskComparison(tolerance.max_rel, as_a_whole=compressed) if len(expected) == len(OUTPUTS) else None
    for i in range(len(expected[0])):
        before, after = _of_image(expected, i), _of_image(found, i)
        pairs = match(before, after, limit, reach)
        others = [_of_image(run, i) for run in runs]
        moved = [match(before, other, limit, reach) for other in others]
        turned = np.zeros(len(before[1]), dtype=int)  # in how many runs
        known = np.zeros(len(after[1]), dtype=bool)
        for other, pair in zip(others, moved, strict=True):
            turned += pair.first < 0
            known |= match(after, other, limit, reach).first >= 0
            allowed = max(allowed, FACTOR * float(pair.score_differences.max(initial=0)))
        sure, once = turned == 0, once + int((turned == 1).sum())
        if masks:
            of_runs = [(_masks(run, i), pair) for run, pair in zip(runs, moved, strict=True)]
            masks.add(_masks(expected, i), _masks(found, i), pairs, of_runs)
        count, unsure = count + len(sure), unsure + int((~sure).sum())
        missing += int((sure & (pairs.first < 0)).sum())
        extra += int((~known & (pairs.second < 0)).sum())
        paired += int((pairs.first >= 0).sum()) + int((pairs.second >= 0).sum())
        ious.append(pairs.ious)
        differences.append(pairs.score_differences)
    wrong, of_scores = missing + extra, np.concatenate(differences)
    agreement = DetectionAgreement(
        name, paired / (paired + wrong) if paired + wrong else 1.0, unsure / max(count, 1), count, missing, extra,
        float(np.concatenate(ious).min()), float(of_scores.max(initial=0)), root_mean_square(of_scores),
        masks.largest if masks else None, masks.turned if masks else 0,
    )  # fmt: skip
    may_turn = FACTOR * once / len(runs) if runs else 0.0
    reasons = _reasons(agreement, tolerance, allowed, may_turn)
    return agreement, reasons + (masks.reasons() if masks else [])


def _reasons(found: DetectionAgreement, tolerance: Tolerance, allowed: float, may_turn: float) -> list[str]:
    reasons = []
    least = tolerance.top1_agreement if tolerance.detections is None else tolerance.detections
    if found.agreement < least and max(found.missing, found.extra) > may_turn:
        reasons.append(
            f"of {found.count} detections {found.missing} are missing of which the reference is sure, and "
            f"{found.extra} are there that it has not; "
            f"{found.agreement:.2%} agree, less than {least:.0%}"
        )
    if tolerance.detections is not None:
        if found.rms_score_difference > allowed:
            reasons.append(
                f"scores differ by {found.rms_score_difference:.1e}, root mean square, more than {allowed:.0e}"
            )
    elif found.largest_score_difference > allowed:
        reasons.append(f"a score differs by {found.largest_score_difference:.1e}, more than {allowed:.0e}")
    return reasons


def root_mean_square(values: Values) -> float:
    """Returns the root of the mean square; 0 of none."""
    return float(np.sqrt((values**2).mean())) if values.size else 0.0


class MaskComparison:
    """The masks of paired detections, image after image.

    Attributes:
        largest: difference of a pixel.
        turned: pixels on the other side of the threshold, of which the reference is sure.
    """

    def __init__(self, least: float, *, as_a_whole: bool = False) -> None:
        """Begins without any.

        Args:
            least: what differences up to it are rounding.
            as_a_whole: whether a mask differs by the root mean square of its pixels, and not by the farthest.
        """
        self.largest, self.turned = 0.0, 0
        self._least, self._as_a_whole, self._beyond = least, as_a_whole, 0.0

    def add(self, before: Values, after: Values, pairs: Pairs, runs: Sequence[tuple[Values, Pairs]]) -> None:
        """Compares those of one image.

        Args:
            before: the reference's, (n, h, w).
            after: the other's, (m, h, w).
            pairs: of the detections that they are of.
            runs: the reference's with its numbers moved, and their pairs.
        """
        reach = np.full(len(before), self._least)  # of any pixel of a mask: the noise of one is one of few
        for masks, moved in runs:
            far, there = _differences(before, masks, moved)
            reach[there] = np.maximum(reach[there], FACTOR * far.max(axis=(1, 2), initial=0))
        difference, there = _differences(before, after, pairs)
        largest = difference.max(axis=(1, 2), initial=0)
        self.largest = max(self.largest, float(largest.max(initial=0)))
        apart = np.sqrt((difference**2).mean(axis=(1, 2))) if self._as_a_whole else largest
        self._beyond = max(self._beyond, float((apart / reach[there]).max(initial=0)))
        sure = np.abs(before[there] - MASK_THRESHOLD) > reach[there, None, None]
        sides = [masks >= MASK_THRESHOLD for masks in (before[there], after[pairs.first[there].astype(int)])]
        self.turned += int((sure & (sides[0] != sides[1])).sum())

    def reasons(self) -> list[str]:
        """Returns why the masks do not agree."""
        if self._beyond <= 1:
            return []
        return [
            f"a mask differs by {self.largest:.1e}, {self._beyond:.1f} times what rounding may move it by, "
            f"and {self.turned} pixels are turned of which the reference is sure"
        ]


def _differences(before: Values, after: Values, pairs: Pairs) -> tuple[Values, Mask]:
    """Returns how far each pixel of the paired masks is apart, (pairs, h, w), and which of the first are paired."""
    there = pairs.first >= 0
    difference: Values = np.abs(before[there] - after[pairs.first[there].astype(int)])
    return difference, there


def _masks(found: Found, i: int) -> Values:
    """Returns the masks of an image, (n, h, w), without the empty places."""
    masks: Values = found[4][i][: int(found[3][i].reshape(-1)[0])]
    return masks


def _of_image(found: Found, i: int) -> OfImage:
    """Returns boxes (n, 4), scores (n,) and labels (n,) of an image, without the empty places."""
    count = int(found[3][i].reshape(-1)[0])
    return found[0][i][:count], found[1][i][:count], found[2][i][:count]


def match(first: OfImage, second: OfImage, limit: float, reach: float) -> Pairs:
    """Pairs the detections of one image, the best first: each with that of its class which overlaps it most.

    Args:
        first: of one side.
        second: of the other.
        limit: the least overlap of a pair.
        reach: how far, in pixels, the corners of a pair may be apart that overlaps less, as slivers do.
    """
    boxes, scores, labels = second
    partners = np.full(len(first[1]), -1.0)
    taken = np.full(len(scores), -1.0)
    ious, differences = [], []
    for i, (box, score, label) in enumerate(zip(*first, strict=True)):
        overlap = overlaps(box, boxes)
        near = np.abs(boxes - box).max(axis=1, initial=0) <= reach
        able = ((overlap >= limit) | near) & (labels == label) & (taken < 0)
        if not able.any():
            continue
        # Of boxes that lie on each other, the one whose score is nearest.
        best = np.lexsort((np.abs(scores - score), -np.where(near, 1.0, overlap), ~able))[0]
        partners[i], taken[best] = best, i
        ious.append(max(float(overlap[best]), limit if near[best] else 0.0))
        differences.append(abs(float(scores[best] - score)))
    return Pairs(partners, taken, np.array(ious), np.array(differences))
