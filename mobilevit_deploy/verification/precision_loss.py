"""Whether a file that is too far from PyTorch is a right conversion, of which its precision costs so much."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mobilevit_deploy.catalog.recipe import Precision
from mobilevit_deploy.verification.leg import INT8_UNROUNDED, REPEATED, UNROUNDED, Leg
from mobilevit_deploy.verification.noise import FACTOR


@dataclass(frozen=True)
class PrecisionLoss:
    """What a precision costs, where that is more than the recipe's tolerance and the conversion was proved exact.

    Attributes:
        accepted: why the file is written all the same; None where it is not.
        max_rel: of the artifact, the worst of its outputs and runners.
        snr_db: likewise.
        own_max_rel: of PyTorch, rounding where the artifact rounds; None where that was not computed.
        own_snr_db: likewise.
        precision: that costs it.
    """

    accepted: str | None
    max_rel: float | None
    snr_db: float | None
    own_max_rel: float | None
    own_snr_db: float | None
    precision: Precision = "fp16"


def why_accepted(*, trained: bool, allowed: bool) -> str | None:
    """Returns why the cost of a precision is no failure; None where it is one.

    Args:
        trained: whether the weights are.
        allowed: whether the user said so.
    """
    if not trained:
        return "untrained weights"
    return "--allow-precision-loss" if allowed else None


def accept_loss(legs: Sequence[Leg], accepted: str | None) -> tuple[list[Leg], PrecisionLoss | None]:
    """Returns the legs, those passed that only lose what their precision costs, if that is accepted; and the loss."""
    lossy = [leg for leg in legs if leg.lossy]
    if not lossy or any(leg.reasons for leg in legs if not leg.lossy) or not all(_exact(leg, legs) for leg in lossy):
        return list(legs), None
    outputs = [output for leg in lossy for output in leg.outputs]
    own = [output for leg in lossy for output in leg.own_loss]
    loss = PrecisionLoss(
        accepted,
        max((output.max_rel for output in outputs), default=None),
        min((output.snr_db for output in outputs), default=None),
        max((output.max_rel for output in own), default=None),
        min((output.snr_db for output in own), default=None),
        lossy[-1].precision,
    )
    if accepted is None:
        return list(legs), loss
    passed = [replace(leg, reasons=(), beyond=leg.reasons, allowance="precision") if leg.lossy else leg for leg in legs]
    return passed, loss


def _exact(lossy: Leg, legs: Sequence[Leg]) -> bool:
    """Tells whether a conversion is proved: right without rounding, or losing no more than PyTorch does likewise."""
    compressed = lossy.precision not in ("fp16", "int8")
    subjects = (REPEATED,) if compressed else (UNROUNDED, INT8_UNROUNDED, REPEATED)
    proofs = [leg for leg in legs if leg.subject in subjects and leg.size == lossy.size]
    if proofs:
        return all(leg.passed for leg in proofs)
    if lossy.decisions or not lossy.own_loss:
        return False
    return all(
        output.max_rel <= FACTOR * own.max_rel and output.snr_db >= own.snr_db - 20 * np.log10(FACTOR)
        for output, own in zip(lossy.outputs, lossy.own_loss, strict=True)
    )
