"""What is looked at besides where outputs alone tell too little: the cause, and each operation by itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.errors import ArtifactError, MvdError
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.pipeline.reconstruct import Reconstructed
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.verification.conditioning import find_loss
from mobilevit_deploy.verification.divergence import OWN_DIFFERENCE, Divergence
from mobilevit_deploy.verification.leg import BY_OPERATION, INT8_UNROUNDED, UNROUNDED, Leg
from mobilevit_deploy.verification.locate import check_operations, check_unrounded
from mobilevit_deploy.verification.parity import Comparison

OPERATIONS_REASON = (
    "twice and more what any operation of a right file differs by from its own inputs, or 4 times its noise"
)


def explain_doubts(
    made: Callable[[], Reconstructed],
    file: FileDescription,
    noted: Provenance | None,
    comparison: Comparison,
    steps: Mapping[str, Path],
    half: Path | None = None,
) -> None:
    """Where the outputs of a leg tell too little: finds what makes the model so, and looks at each operation.

    Args:
        made: what the converter was given; called only where it is needed.
        file: the artifact.
        noted: what it says of itself.
        comparison: takes what is found.
        steps: the float32 files by the subjects of their legs.
        half: what is compared with the first of those without rounding, where that is not the artifact.
    """
    doubtful = doubtful_legs(comparison)
    if not doubtful:
        return
    try:
        prepared = made().prepared
    except MvdError as error:  # such as a model that torch.export cannot trace, which a file from elsewhere may be of
        comparison.leave_out("by operation", error.message)
        return
    batch = prepared.model.input_shape[0]
    if any(leg.allowance == "noise" for leg in doubtful):
        comparison.ill_conditioned = find_loss(prepared.captured.graph, prepared.images, batch)
    for subject, leg in {leg.subject: leg for leg in reversed(doubtful)}.items():
        if subject in steps:
            step = replace(file, path=steps[subject])
            _look(leg, partial(check_operations, made(), step, noted), comparison)
        elif subject in (UNROUNDED, INT8_UNROUNDED) and steps:
            rounded = replace(file, path=half or file.path)
            _look(leg, partial(check_unrounded, made(), rounded, noted, next(iter(steps.values()))), comparison)


def doubtful_legs(comparison: Comparison) -> list[Leg]:
    """Returns the float32 legs that pass by the noise alone, or by outputs that are the same for every image."""
    legs = [leg for leg in comparison.legs if leg.precision == "fp32"]
    return legs if comparison.constant else [leg for leg in legs if leg.allowance in ("noise", "decisions")]


def _look(leg: Leg, check: Callable[[], Divergence | None], comparison: Comparison) -> None:
    """Adds a leg of the same file, by operation: no loss of one is counted for the next."""
    subject = f"{leg.subject}{BY_OPERATION}"
    try:
        wrong = check()
    except ArtifactError as error:  # such as a runtime that shows no value on the way
        comparison.leave_out(subject, error.message)
        return
    tolerance = Tolerance(max_rel=OWN_DIFFERENCE["fp32"], snr_db=0.0, top1_agreement=0.0, reason=OPERATIONS_REASON)
    reasons = () if wrong is None else (f"{wrong.op} of {wrong.module or 'the model itself'}: {wrong.detail}",)
    comparison.add_leg(
        replace(
            leg,
            subject=subject,
            settings={},
            outputs=(),
            decisions=(),
            tolerance=tolerance,
            reasons=reasons,
            beyond=(),
            allowance=None,
        )
    )
