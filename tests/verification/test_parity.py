"""Parity: what is measured, what fails, and what is never a pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.catalog.recipe import Tolerance
from mobilevit_deploy.errors import ArtifactError, RefusedError
from mobilevit_deploy.images.test_images import KINDS, make_samples
from mobilevit_deploy.runners.base import Array, NotMeasured, Opener
from mobilevit_deploy.verification.differences import judge_all as judge_outputs
from mobilevit_deploy.verification.differences import judge_decisions
from mobilevit_deploy.verification.expected import Expected, Runs, run_all
from mobilevit_deploy.verification.leg import ARTIFACT, Candidate
from mobilevit_deploy.verification.noise import Noise
from mobilevit_deploy.verification.parity import Comparison, ParityReport, compare

TOLERANCE = Tolerance(max_rel=1e-5, snr_db=60, top1_agreement=1, reason="test")
SAMPLES = make_samples(8, 3, 16, 16)
CLASSES = np.random.default_rng(0).standard_normal((768, 10)).astype(np.float32)


class Function:
    """A runner that computes a linear classifier, changed by a function of its logits."""

    name = "function"
    settings: Mapping[str, str] = {}

    def __init__(self, change: Callable[[Any], Any] = lambda logits: logits) -> None:
        self.change = change

    def run(self, batch: Array) -> list[Array]:
        return [self.change(batch.reshape(len(batch), -1) @ CLASSES)]


def judge(change: Callable[[Any], Any], batch: int = 1) -> ParityReport:
    return judge_all([lambda: Function(change)], batch=batch)


def judge_all(
    openers: Sequence[Opener | NotMeasured],
    *,
    reference: Function | None = None,
    batch: int = 1,
    tolerance: Tolerance = TOLERANCE,
    perturbed: Callable[[float], Runs] | None = None,
) -> ParityReport:
    expected = Expected(reference or Function(), SAMPLES, batch, ["logits"], perturbed)
    return compare(expected, [Candidate(ARTIFACT, "fp32", tolerance, openers)])


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_the_same_passes(batch: int) -> None:
    report = judge(lambda logits: logits, batch)
    assert report.status == "passed"
    (output,) = report.legs[0].outputs
    assert output.max_abs == 0
    assert output.snr_db == float("inf")
    assert output.top1_agreement == 1
    assert output.spread > 0.3, "structured images move the logits"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda logits: logits * (1 + 2e-5), "of the largest value"),
        (lambda logits: logits + np.float32(0.01), "of the largest value"),
        (lambda logits: logits[:, ::-1], "SNR"),
        (lambda logits: logits * np.float32(np.nan), "80 values that are NaN"),
        (lambda logits: logits[:, :9], "shape"),
        (lambda logits: np.where(logits == logits.max(), np.inf, logits), "infinite"),
    ],
)
def test_what_differs_fails_and_says_why(change: Callable[[Any], Any], reason: str) -> None:
    report = judge(change)
    assert report.status == "failed"
    assert reason in " ".join(report.legs[0].reasons) or reason in str(report.reason)


def test_the_same_classes_are_demanded() -> None:
    tolerance = TOLERANCE.model_copy(update={"max_rel": 10.0, "snr_db": -100.0})
    report = judge_all([lambda: Function(lambda x: -x)], tolerance=tolerance)
    assert report.status == "failed"
    assert "of the classes" in str(report.reason)


@pytest.mark.parametrize(
    ("margin", "max_rel", "agreement"),
    [(1e-6, 1e-5, 1.0), (1e-4, 1e-5, 0.0), (1e-3, 2e-2, 1.0), (1e-2, 2e-2, 0.0)],
    ids=["float32 tie", "no float32 tie", "half-precision tie", "no half-precision tie"],
)
def test_classes_that_rounding_alone_can_turn_are_one(margin: float, max_rel: float, agreement: float) -> None:
    expected = np.array([[1.0, 1.0 - margin, 0.0], [0.0, 1.0, 1.0 - margin]])
    found = expected[:, [1, 0, 2]]
    found[1] = expected[1, [0, 2, 1]]
    tolerance = TOLERANCE.model_copy(update={"max_rel": max_rel})
    (difference,), _ = judge_outputs(["logits"], [expected], [found], tolerance)
    assert difference.top1_agreement == agreement


def test_a_missing_output_fails() -> None:
    class Nothing(Function):
        def run(self, batch: Array) -> list[Array]:
            return [*super().run(batch), np.zeros((len(batch), 1), np.float32)]

    report = judge_all([Nothing])
    assert "2 outputs instead of 1" in str(report.reason)


def test_an_output_that_hardly_changes_is_called_so() -> None:
    fixed = Function(lambda logits: np.ones_like(logits) + logits * np.float32(1e-9))
    other = Function(lambda logits: np.ones_like(logits) + np.float32(5e-6))
    report = judge_all([lambda: other], reference=fixed)
    assert report.status == "failed"
    assert "all but the same for every image" in str(report.reason)


NO_MAC = NotMeasured("coreml", {"compute_units": "ALL"}, "no Mac")


def test_what_cannot_be_run_is_not_a_pass() -> None:
    report = judge_all([NO_MAC])
    assert (report.status, report.reason) == ("not_measured", "no Mac")
    report = judge_all([Function, NO_MAC])
    assert (report.status, report.reason) == ("passed", None)
    assert [leg.reason for leg in report.not_run] == ["no Mac"], "a leg that was not run is named beside one that was"


def test_a_file_that_its_runtime_refuses_is_no_pass_whatever_else_runs_it() -> None:
    def refuses() -> Function:
        raise RefusedError("no kernel for Gemm(13)")

    def lacks() -> Function:
        raise ArtifactError("this runner has no such operation")

    report = judge_all([Function, refuses])
    assert (report.status, report.reason, report.refused) == ("not_measured", "no kernel for Gemm(13)", True)
    assert judge_all([lambda: Function(lambda x: 2 * x), refuses]).status == "failed"
    report = judge_all([Function, lacks])
    assert (report.status, report.refused) == ("passed", False)


def test_steps_on_the_way_are_no_pass_of_the_artifact() -> None:
    expected = Expected(Function(), SAMPLES, 1, ["logits"])
    step, artifact = (Candidate(subject, "fp32", TOLERANCE, [Function]) for subject in ("rewritten graph", ARTIFACT))
    assert compare(expected, [step]).status == "not_measured"
    assert compare(expected, [step, artifact]).status == "passed"
    wrong = Candidate("float32 conversion", "fp32", TOLERANCE, [lambda: Function(lambda x: x * np.float32(2))])
    report = compare(expected, [step, wrong, artifact])
    assert report.status == "failed"
    assert str(report.reason).startswith("float32 conversion at 16x16 in function: logits differs by 1.0e+00")


@pytest.mark.parametrize(("times", "status"), [(3, "passed"), (6, "failed")])
def test_a_model_that_amplifies_rounding_is_judged_by_its_own(times: float, status: str) -> None:
    scale = np.abs(Function().run(SAMPLES)[0]).max()

    def off(by: float) -> Function:
        return Function(lambda logits: logits + np.float32(by * 2e-5 * scale))

    report = judge_all([lambda: off(times)], perturbed=lambda _: [(lambda: off(1), 4.0)])
    assert report.status == status
    assert judge_all([lambda: off(times)]).status == "failed", "without a noise the recipe's tolerance stands"
    tolerance = report.legs[0].tolerance
    assert tolerance.max_rel == pytest.approx(8e-5, rel=1e-2)
    assert "PyTorch's own float32" in tolerance.reason


def test_a_tolerance_below_what_float32_comes_to_is_meant_as_it_stands() -> None:
    scale = np.abs(Function().run(SAMPLES)[0]).max()
    off = Function(lambda logits: logits + np.float32(2e-5 * scale))
    tight = TOLERANCE.model_copy(update={"max_rel": 1e-9})
    assert judge_all([lambda: off], perturbed=lambda _: [(lambda: off, 4.0)], tolerance=tight).status == "failed"


def turn(count: int, start: int = 0) -> Callable[[Any], Any]:
    """Returns what decides otherwise at some of the 80 places that ``SIGNS`` has."""

    def change(logits: Any) -> Any:
        signs = np.sign(logits).astype(np.int64)
        flat = signs.reshape(-1)
        place = np.nonzero(np.isin(ALL, logits.reshape(-1)))[0]
        flat[(place >= start) & (place < start + count)] *= -1
        return signs

    return change


ALL = run_all(Function(), SAMPLES, 1)[0].reshape(-1)  # tells a turn which of the places it is given
SIGNS = Function(lambda logits: np.sign(logits).astype(np.int64))


@pytest.mark.parametrize(
    ("turned", "start", "status"), [(0, 0, "passed"), (10, 0, "passed"), (10, 5, "failed"), (11, 0, "failed")]
)
def test_decisions_are_compared_where_the_reference_is_sure(turned: int, start: int, status: str) -> None:
    def unsure(_: float) -> Runs:
        yield lambda: Function(turn(10)), 1.0

    report = judge_all([lambda: Function(turn(turned, start))], reference=SIGNS, perturbed=unsure)
    assert report.status == status
    (leg,) = report.legs
    assert leg.outputs == (), "never as a difference of numbers"
    (decision,) = leg.decisions
    assert decision.unsure == 10 / 80
    wrong = {(10, 5): 5, (11, 0): 1}.get((turned, start), 0)
    assert decision.agreement == 1 - wrong / 70


def test_of_many_unsure_places_a_few_may_be_taken_for_sure_ones() -> None:
    def judged(missed: int, unsure: int) -> bool:
        expected = np.arange(1000.0).reshape(2, 500)
        found = expected.copy()
        found.reshape(-1)[:missed] += 1
        noise = Noise(np.arange(1000).reshape(2, 500) < 1000 - unsure)
        return not judge_decisions("labels", expected, found, TOLERANCE, noise)[1]

    assert judged(0, 0)
    assert not judged(1, 0)
    assert not judged(1, 49)
    assert judged(1, 50)
    assert judged(4, 200)
    assert not judged(5, 200)


@pytest.mark.parametrize(("turned", "agrees"), [(0, True), (20, True), (21, False)])
def test_a_compressed_map_of_labels_keeps_its_share(turned: int, agrees: bool) -> None:
    compressed = TOLERANCE.model_copy(update={"top1_agreement": 0.0, "labels": 0.8})
    expected = np.zeros((1, 10, 10))
    found = expected.copy()
    found.reshape(-1)[:turned] = 1
    sure = Noise(np.ones_like(expected, dtype=bool))
    assert (not judge_decisions("labels", expected, found, compressed, sure)[1]) == agrees
    of_images = Noise(np.ones((1, 10), dtype=bool))  # a label for each of ten is one of few
    assert judge_decisions("labels", expected[:, 0], 1 + expected[:, 0], compressed, of_images)[1] == []


@pytest.mark.parametrize("turned", [0, 3])
def test_numbers_that_hang_on_a_decision_are_compared_where_that_is_sure(turned: int) -> None:
    """As ``x * one_hot(x.argmax())`` does: where the decision turns, the number is another, by as much as it is."""

    def chosen(count: int, off: float = 0.0) -> Function:
        return Function(lambda logits: turn(count)(logits) * (np.abs(logits) + np.float32(off)))

    def unsure(_: float) -> Runs:
        yield lambda: chosen(3), 1.0

    reference = chosen(0)
    report = judge_all([lambda: chosen(turned)], reference=reference, perturbed=unsure)
    assert report.status == "passed"
    assert report.legs[0].allowance == ("decisions" if turned else None)
    assert report.legs[0].outputs[0].unsure == (3 / 80 if turned else 0)
    assert report.legs[0].tolerance.max_rel == TOLERANCE.max_rel, "a decision is no noise of the others"
    wrong = judge_all([lambda: chosen(4)], reference=reference, perturbed=unsure)
    assert wrong.status == "failed", "one more place than is unsure"
    scale = float(np.abs(ALL).max())
    wrong = judge_all([lambda: chosen(turned, 2e-5 * scale)], reference=reference, perturbed=unsure)
    assert wrong.status == "failed", "the sure places are held to the tolerance"


@pytest.mark.parametrize(("sums", "status"), [("float16", "passed"), ("float32", "failed"), (None, "failed")])
def test_only_who_sums_in_half_precision_has_its_tolerance(sums: str | None, status: str) -> None:
    def coarse() -> Function:
        runner = Function(lambda logits: logits * 1.001)
        runner.settings = {"sums": sums} if sums else {}
        return runner

    wide = Tolerance(max_rel=1e-2, snr_db=10, top1_agreement=0.5, reason="test")
    report = judge_all([coarse], tolerance=TOLERANCE.model_copy(update={"half_sums": wide}))
    assert report.status == status
    assert report.legs[0].tolerance.max_rel == (1e-2 if sums == "float16" else 1e-5)
    assert report.legs[0].samples == (2 if sums == "float16" else 8)


@pytest.mark.parametrize(("change", "status"), [(1, "passed"), (2, "failed")])
def test_who_sums_in_half_precision_is_held_to_the_last_images_of_outputs_with_many_rows(
    change: int, status: str
) -> None:
    class Rows(Function):
        settings: Mapping[str, str] = {"sums": "float16"}

        def run(self, batch: Array) -> list[Array]:
            return [super().run(batch)[0].repeat(3, axis=0)]

    report = judge_all([lambda: Rows(lambda logits: logits * np.float32(change))], reference=Rows())
    assert (report.status, report.legs[0].samples) == (status, 2)


def unknown_op() -> Function:
    raise ArtifactError("resample is an op that this runner does not know")


def test_a_runner_that_lacks_an_op_is_not_a_pass_and_hides_no_failure() -> None:
    report = judge_all([unknown_op])
    assert (report.status, len(report.legs)) == ("not_measured", 0)
    assert "resample" in str(report.reason)
    wrong = Function(lambda logits: logits * np.float32(2))
    report = judge_all([unknown_op, lambda: wrong])
    assert report.status == "failed"


def test_outputs_that_never_change_prove_nothing() -> None:
    constant = Function(lambda logits: np.zeros_like(logits))
    report = judge_all([lambda: constant], reference=constant)
    assert report.status == "not_measured"
    assert "do not depend on the image" in str(report.reason)


class Full(Function):
    """Returns boxes, and that there are as many as there may be."""

    def __init__(self) -> None:
        super().__init__(lambda logits: logits)

    def run(self, batch: Array) -> list[Array]:
        return [*super().run(batch), np.full((len(batch), 1), 100, np.int32)]


def test_an_output_that_never_changes_beside_others_is_named() -> None:
    class Two(Function):
        def run(self, batch: Array) -> list[Array]:
            return [*super().run(batch), np.zeros((len(batch), 3), np.float32)]

    expected = Expected(Two(), SAMPLES, 1, ["logits", "embedding"])
    report = compare(expected, [Candidate(ARTIFACT, "fp32", TOLERANCE, [Two])])
    assert (report.status, report.fixed) == ("passed", ("embedding",))
    assert judge(lambda logits: logits).fixed == ()


def test_a_count_that_is_always_full_is_nothing_to_look_at() -> None:
    expected = Expected(Full(), SAMPLES, 1, ["boxes", "count"], detections=True)
    comparison = Comparison()
    comparison.add(Candidate(ARTIFACT, "fp32", TOLERANCE, []), expected)
    assert comparison.report().fixed == ()
    plain = Comparison()
    plain.add(Candidate(ARTIFACT, "fp32", TOLERANCE, []), Expected(Full(), SAMPLES, 1, ["boxes", "count"]))
    assert plain.report().fixed == ("count",)


def test_where_rounding_orders_all_values_anew_each_operation_has_to_be_looked_at() -> None:
    """As boxes in the order of nearly equal scores: no factor of the noise bounds what another order comes to."""

    def ordered(by: int) -> Function:
        return Function(lambda logits: np.roll(logits, by, axis=-1))

    def unsure(_: float) -> Runs:
        yield lambda: ordered(1), 1.0

    expected, comparison = Expected(Function(), SAMPLES, 1, ["boxes"], unsure), Comparison()
    comparison.add(Candidate(ARTIFACT, "fp32", TOLERANCE, [lambda: ordered(5)]), expected)
    (leg,) = comparison.legs
    assert (leg.allowance, leg.outputs[0].unsure, leg.outputs[0].snr_db) == ("decisions", 1, float("inf"))
    assert comparison.report().status == "not_measured"
    comparison.add_leg(replace(leg, subject="artifact, by operation"))
    assert comparison.report().status == "passed"
    comparison.add_leg(replace(leg, subject="artifact, by operation", reasons=("conv2d is wrong",)))
    assert comparison.report().status == "failed"


@pytest.mark.parametrize(("scale", "status"), [(1e-41, "not_measured"), (1e-36, "failed")])
def test_what_float32_ends_above_may_be_zero_and_is_no_proof(scale: float, status: str) -> None:
    reference = Function(lambda logits: logits.astype(np.float64) * scale)
    report = judge_all([lambda: Function(np.zeros_like)], reference=reference)
    assert report.status == status


def test_outputs_that_never_change_are_looked_at_by_operation_at_every_size() -> None:
    constant = Function(lambda logits: np.zeros_like(logits))
    comparison = Comparison()
    expected = Expected(constant, SAMPLES, 1, ["logits"])
    comparison.add(Candidate(ARTIFACT, "fp32", TOLERANCE, [lambda: constant]), expected)
    (leg,) = comparison.legs
    comparison.add_leg(replace(leg, subject="artifact, by operation"))
    assert comparison.report().status == "passed"
    comparison.add_leg(replace(leg, size=(32, 32)))
    assert comparison.report().status == "not_measured", "at another size nothing was looked at"


def test_samples_are_seeded_structured_and_normalised() -> None:
    again = make_samples(8, 3, 16, 16)
    assert (again == SAMPLES).all()
    assert len(KINDS) == 8
    assert SAMPLES.dtype == np.float32
    assert np.isfinite(SAMPLES).all()
    assert SAMPLES.min() > -2.2
    assert SAMPLES.max() < 2.7
    assert not (make_samples(8, 3, 16, 16, seed=1) == SAMPLES).all()
    assert make_samples(3, 1, 8, 24).shape == (3, 1, 8, 24)
    assert make_samples(2, 5, 1, 1).shape == (2, 5, 1, 1)
