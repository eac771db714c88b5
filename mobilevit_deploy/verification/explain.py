"""What is looked at besides where an artifact passes by the noise alone: the cause, and each operation by itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.errors import ArtifactError, MvdError
from mobilevit_deploy.pipeline.provenance import Provenance
from mobilevit_deploy.pipeline.reconstruct import Reconstructed
from mobilevit_deploy.targets.artifact import FileDescription
from mobilevit_deploy.verification.conditioning import find_loss
from mobilevit_deploy.verification.divergence import OWN_DIFFERENCE
from mobilevit_deploy.verification.expected import PYTORCH
from mobilevit_deploy.verification.leg import Leg
from mobilevit_deploy.verification.locate import check_operations
from mobilevit_deploy.verification.parity import Comparison

OPERATIONS_REASON = (
    "twice and more what any operation of a right file differs by from its own inputs, or 4 times its noise"
)


def compare_operations(
    subject: str, made: Reconstructed, file: FileDescription, noted: Provenance | None, comparison: Comparison
) -> None:
    """Adds a leg that looks at each operation of a float32 file, where its outputs only are as near as the noise."""
    batch, _, height, width = file.entries[0].shape
    subject = f"{subject}, by operation"
    try:
        wrong = check_operations(made, file, noted)
    except ArtifactError as error:  # such as a runtime that shows no value on the way
        comparison.leave_out(subject, error.message)
        return
    tolerance = Tolerance(max_rel=OWN_DIFFERENCE["fp32"], snr_db=0.0, top1_agreement=0.0, reason=OPERATIONS_REASON)
    reasons = () if wrong is None else (f"{wrong.op} of {wrong.module or 'the model itself'}: {wrong.detail}",)
    comparison.add_leg(
        Leg(
            subject=subject,
            reference=PYTORCH,
            runner=file.target,
            settings={},
            precision="fp32",
            size=(height, width),
            samples=batch,
            outputs=(),
            tolerance=tolerance,
            reasons=reasons,
        )
    )


def explain_noise(
    made: Callable[[], Reconstructed],
    file: FileDescription,
    noted: Provenance | None,
    comparison: Comparison,
    steps: Mapping[str, Path],
) -> None:
    """Where a float32 leg passes by the noise alone: finds what makes the model so, and looks at each operation.

    Args:
        made: what the converter was given; called only where it is needed.
        file: the artifact.
        noted: what it says of itself.
        comparison: takes what is found.
        steps: the files by the subjects of their legs.
    """
    noisy = {leg.subject for leg in comparison.legs if leg.allowance == "noise" and leg.precision == "fp32"}
    if not noisy:
        return
    try:
        prepared = made().prepared
    except MvdError as error:  # such as a model that torch.export cannot trace, which a file from elsewhere may be of
        comparison.leave_out("each operation", error.message)
        return
    comparison.ill_conditioned = find_loss(prepared.captured.graph, prepared.images, prepared.model.input_shape[0])
    for subject in sorted(noisy & steps.keys()):
        compare_operations(subject, made(), replace(file, path=steps[subject]), noted, comparison)
