"""The table of parity: what it says of outputs that are decided, and of those that never change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from rich.console import Console, RenderableType

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.report.parity import legs_table, parity_text
from mobilevit_deploy.runners.base import Array
from mobilevit_deploy.verification.expected import Expected
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.parity import ParityReport, compare
from tests.verification.test_detections import SURE, judge_boxes, one_off

SAMPLES = make_samples(4, 3, 8, 8)
TOLERANCE = Tolerance(max_rel=1e-5, snr_db=60, top1_agreement=1, reason="test")


class Classes:
    """A runner of (N, 4) classes and (N, 2) zeros."""

    name = "classes"
    settings: Mapping[str, str] = {}

    def __init__(self, wrong: int = 0) -> None:
        self.wrong = wrong

    def run(self, batch: Array) -> Sequence[Array]:
        labels = (1000 * np.abs(batch[:, 0, 0, :4])).astype(np.int64)
        labels[:, : self.wrong] += 1
        return [labels.astype(np.float32), np.zeros((len(batch), 2), np.float32)]


def shown(table: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def report_of(wrong: int, names: Sequence[str] = ("labels", "zeros")) -> ParityReport:
    expected = Expected(Classes(), SAMPLES, 1, names)
    return compare(expected, [Candidate(ARTIFACT, "fp32", TOLERANCE, [lambda: Classes(wrong)])])


def test_decisions_are_counted_and_what_never_changes_is_named() -> None:
    text = shown(legs_table(report_of(0), "net.onnx"))
    assert "decisions of labels: 100.00% the same, where PyTorch is sure; rounding alone turns 0.00% of them" in text
    assert "the same for every image: zeros;" in text
    assert "decisions of zeros" not in text
    assert "1e-5" not in text, "a tolerance of numbers, where there are none"
    assert (
        str(parity_text(report_of(0), "fp32")) == "computes what PyTorch computes: 100% of its decisions are the same"
    )


def test_decisions_that_differ_are_counted() -> None:
    assert "decisions of labels: 75.00% the same" in shown(legs_table(report_of(1), "net.onnx"))
    assert "does NOT compute what PyTorch computes: artifact" in str(parity_text(report_of(1), "fp32"))


def test_a_compressed_detector_that_passes_by_what_is_chosen_is_said_to() -> None:
    report = ParityReport("passed", None, (judge_boxes(one_off(SURE, 0.35)),))
    assert str(parity_text(report, "int8")) == (
        "computes what PyTorch computes: 100% of the detections that an app takes of its boxes are the same"
    )
    assert "passed: detections" in shown(legs_table(report, "net.onnx"))


def unsure_of(report: ParityReport, *names: str) -> ParityReport:
    """Returns a report as it is where rounding turns every place of some outputs of whole numbers."""
    (leg,) = report.legs
    decisions = tuple(replace(item, unsure=1.0) if item.name in names else item for item in leg.decisions)
    return replace(report, legs=(replace(leg, decisions=decisions),))


def test_what_could_not_be_compared_is_not_said_to_be_the_same() -> None:
    some = str(parity_text(unsure_of(report_of(0), "labels"), "fp32"))
    assert some == (
        "computes what PyTorch computes; nothing of labels could be compared, for rounding alone turns all of it: "
        "100% of its decisions are the same"
    )
    every = str(parity_text(unsure_of(report_of(0), "labels", "zeros"), "fp32"))
    assert every == (
        "each operation computes what PyTorch computes; nothing of labels, zeros could be compared, for rounding alone "
        "turns all of it"
    )
