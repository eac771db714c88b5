"""Whether an artifact computes what PyTorch computed: measured on structured images, judged by the recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mobilevit_deploy.catalog import Precision, Tolerance
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.runners import Array, NotMeasured, Opener, Runner

SAMPLES = 8  # one image of each structured kind

Status = Literal["passed", "failed", "not_measured"]
Values = npt.NDArray[np.float64]
Outputs = Sequence[Values]


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


@dataclass(frozen=True)
class Leg:
    """One runner against the reference; ``reasons`` say what failed."""

    runner: str
    settings: Mapping[str, str]
    precision: Precision
    samples: int
    outputs: tuple[OutputDifference, ...]
    tolerance: Tolerance
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Tells whether every output is within the tolerance."""
        return not self.reasons


@dataclass(frozen=True)
class ParityReport:
    """All legs; ``not_measured`` is never a pass, and has its reason."""

    status: Status
    reason: str | None
    legs: tuple[Leg, ...] = ()


def compare(
    reference: Runner,
    runners: Sequence[Opener] | NotMeasured,
    samples: Array,
    batch: int,
    names: Sequence[str],
    precision: Precision,
    tolerance: Tolerance,
) -> ParityReport:
    """Runs the samples through the reference and every runner.

    Args:
        reference: PyTorch before any rewrite.
        runners: what opens the artifact, one after the other; or why it cannot be run.
        samples: (N, C, H, W); N is a multiple of the batch.
        batch: the artifact's batch size.
        names: of the outputs.
        precision: of the artifact.
        tolerance: from the recipe.
    """
    if isinstance(runners, NotMeasured):
        return ParityReport("not_measured", runners.reason)
    expected = _run(reference, samples, batch)
    legs: list[Leg] = []
    not_run: list[str] = []
    for open_runner in runners:
        try:
            legs.append(_leg(open_runner(), expected, samples, batch, names, precision, tolerance))
        except ArtifactError as error:  # such as an op that the runner lacks: the file may be right all the same
            not_run.append(error.message)
    failed = [leg for leg in legs if not leg.passed]
    reason = "; ".join(f"{leg.runner} {' '.join(leg.settings.values())}: {leg.reasons[0]}" for leg in failed)
    if not_run and not failed:
        return ParityReport("not_measured", not_run[0], tuple(legs))
    if not failed and all(np.ptp(output, axis=0).max(initial=0) == 0 for output in expected):
        reason = "the model's outputs do not depend on the image: they agree, which proves little"
        return ParityReport("not_measured", reason, tuple(legs))
    return ParityReport("failed" if failed else "passed", reason or None, tuple(legs))


def _run(runner: Runner, samples: Array, batch: int) -> list[Values]:
    """Returns each output over all samples, (N, ...)."""
    parts = [runner.run(samples[i : i + batch]) for i in range(0, len(samples), batch)]
    # Booleans become numbers, and an output without axes gets one.
    return [np.concatenate(list(map(np.atleast_1d, output))).astype(np.float64) for output in zip(*parts, strict=True)]


def _leg(
    runner: Runner,
    expected: Outputs,
    samples: Array,
    batch: int,
    names: Sequence[str],
    precision: Precision,
    tolerance: Tolerance,
) -> Leg:
    reasons: list[str] = []
    differences = []
    found = _run(runner, samples, batch)
    if len(expected) != len(found):
        reasons.append(f"{len(found)} outputs instead of {len(expected)}")
    for name, before, after in zip(names, expected, found, strict=False):
        if before.shape != after.shape:
            reasons.append(f"{name} has the shape {after.shape[1:]} instead of {before.shape[1:]}")
            continue
        difference = measure(name, before, after)
        differences.append(difference)
        reasons += _judge(difference, before, after, tolerance)
    return Leg(runner.name, runner.settings, precision, len(expected[0]), tuple(differences), tolerance, tuple(reasons))


def measure(name: str, expected: Values, found: Values) -> OutputDifference:
    """Measures one output, (N, ...), of N samples; NaN in either makes every figure NaN."""
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
        top1_agreement=_top1_agreement(expected, found, max_abs) if expected.ndim == 2 else None,
        spread=spread,
    )


def _top1_agreement(reference: Values, other: Values, max_abs: float) -> float:
    """Returns the share of samples with the same class; ties that rounding alone can turn count as the same."""
    rows = np.arange(len(reference))
    with np.errstate(all="ignore"):
        margin = reference.max(axis=1) - reference[rows, other.argmax(axis=1)]
        return float((margin <= 2 * min(max_abs, 1e-5 * np.abs(reference).max())).mean())


def _judge(difference: OutputDifference, expected: Values, found: Values, tolerance: Tolerance) -> list[str]:
    """Returns why an output is not within the tolerance; non-finite values first, for they explain the rest."""
    name = difference.name
    for what, values in (("PyTorch's own", expected), ("the artifact's", found)):
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
