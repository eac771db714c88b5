"""The gates that need nothing but an export's report."""

from collections.abc import Iterator, Mapping

from mobilevit_deploy.checks.plan import AccuracyLimit, Limits
from mobilevit_deploy.checks.verdict import Verdict, at_most
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.verification.parity import ParityReport

TOTAL = "total"
ROUNDING = 1e-9  # of shares whose difference is a limit exactly: 0.9 - 0.897 is more than 0.003


def judge_report(report: ExportReport, limits: Limits) -> Iterator[Verdict]:
    """Yields parity, and every limit that the report tells of."""
    yield judge_parity(report.parity)
    if limits.trained:
        yield _judge_trained(report)
    if limits.max_bytes is not None:
        yield at_most("size", report.artifact.bytes, limits.max_bytes, " bytes")
    yield from _judge_ops(report.artifact.ops, limits.max_ops)
    if limits.accuracy:
        yield _judge_accuracy(report, limits.accuracy)


def judge_parity(parity: ParityReport) -> Verdict:
    """Returns whether the file computes what PyTorch computes; undecided where no runner could tell."""
    worst = max((output.max_rel for leg in parity.legs for output in leg.outputs), default=None)
    found = "" if worst is None else f"max rel {worst:.1e}"
    if parity.status == "not_measured":
        return Verdict(
            "parity", "failed" if parity.refused else "undecided", found, "the recipe's tolerances", parity.reason or ""
        )
    return Verdict("parity", parity.status, found, "the recipe's tolerances", parity.reason or "")


def _judge_trained(report: ExportReport) -> Verdict:
    if report.weights.trained:
        return Verdict("trained", "passed", report.weights.place, "trained weights")
    return Verdict("trained", "failed", "random weights", "trained weights", "no checkpoint was given")


def _judge_ops(ops: Mapping[str, int], limits: Mapping[str, int]) -> Iterator[Verdict]:
    for name, limit in limits.items():
        count = sum(ops.values()) if name == TOTAL else ops.get(name, 0)
        yield at_most(f"ops {name}", count, limit)


def _judge_accuracy(report: ExportReport, limit: AccuracyLimit) -> Verdict:
    accuracy, gate, held = report.accuracy, "accuracy", f"at most {limit.max_drop:.2%} below PyTorch"
    if accuracy is None or accuracy.reference is None or accuracy.artifact is None:
        return Verdict(gate, "undecided", "", held, "the images have no labels, or no runner could run the file")
    found = f"{accuracy.metric} {accuracy.artifact:.2%}, PyTorch {accuracy.reference:.2%}, of {accuracy.images} images"
    drop = accuracy.reference - accuracy.artifact
    if drop <= limit.max_drop + ROUNDING:
        return Verdict(gate, "passed", found, held)
    return Verdict(gate, "failed", found, held, f"{drop:.2%} below PyTorch")
