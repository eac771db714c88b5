"""What to do next, where an export did not pass its parity."""

from collections.abc import Sequence

from mobilevit_deploy.catalog.formats import format_of
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.verification.leg import ARTIFACT


def next_step(failed: Sequence[ExportReport]) -> str:
    """Returns the next step, by what failed."""
    if all(report.parity.refused for report in failed):
        return (
            "the runtime does not run what the converter wrote: give another --to, or of ONNX another --opset, and "
            "report the model"
        )
    if all(_is_of_weights(report) for report in failed):
        return (
            "the conversion is exact, and weights of so few bits cost that much, random ones more than trained ones: "
            "--precision fp16 leaves them as they are, and --keep-fp32 MODULE those of a module"
        )
    losses = [report.parity.precision_loss for report in failed]
    if all(losses):
        if any(loss.precision == "int8" for loss in losses if loss):
            return (
                "the conversion is exact, and int8 costs that much: --keep-fp32 MODULE keeps a module in float32, and "
                "--sensitivity says which costs most"
            )
        return (
            f"the conversion is exact, and half precision costs that much: {_float32(failed)}, and "
            "--allow-precision-loss writes the file as it is"
        )
    reasons = [reason for report in failed for leg in report.parity.legs for reason in leg.reasons]
    if any("NaN or infinite" in reason for reason in reasons):
        return f"values left the range of half precision: {_float32(failed)}"
    if any(leg.optimizers for report in failed for leg in report.parity.legs):
        return (
            "the file is right, and its runtime makes another graph of it: please report the model, so that it is "
            "written otherwise"
        )
    if any(result.applied for report in failed for result in report.rewrites):
        return "--no-rewrite tells whether a rewrite is the cause"
    return "the first leg that failed tells the step that is the cause"


def _float32(failed: Sequence[ExportReport]) -> str:
    """Returns how modules are kept in float32, with the targets that failed."""
    if all(format_of(report.artifact.target).writes(["--keep-fp32"]) for report in failed):
        return "--keep-fp32 MODULE keeps a module in float32, --precision fp32 all of them"
    return "--precision fp32 keeps everything in float32"


def _is_of_weights(report: ExportReport) -> bool:
    """Tells whether compressed weights are all that is wrong: the file does not pass, and what it is made from does."""
    wrong = [leg for leg in report.parity.legs if not leg.passed]
    alone = {leg.subject for leg in wrong} == {ARTIFACT} and len(wrong) < len(report.parity.legs)
    return report.compression is not None and alone
