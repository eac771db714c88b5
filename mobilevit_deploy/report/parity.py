"""Parity, as a table and lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.layout import ResultTable
from mobilevit_deploy.report.table import precision_name, share
from mobilevit_deploy.verification.expected import PYTORCH
from mobilevit_deploy.verification.leg import ARTIFACT, BY_OPERATION, INT8_UNROUNDED, UNROUNDED

if TYPE_CHECKING:
    from mobilevit_deploy.catalog.recipe import Precision
    from mobilevit_deploy.verification.differences import Agreement, OutputDifference
    from mobilevit_deploy.verification.leg import Leg
    from mobilevit_deploy.verification.parity import ParityReport


# What the legs and the runners are called beyond this package, for people; the words of the method stand in reports.
LEGS = {
    "rewritten graph": "graph after the rewrites",
    "float32 conversion": "float32 file on the way",
    "artifact": "the file",
    UNROUNDED: "the file, computed without its rounding",
    INT8_UNROUNDED: "int8 file, computed without its rounding",
}
RUNNERS = {
    "torch": "PyTorch",
    "mil": "mvd's evaluator of ML Programs",
    "onnxruntime": "ONNX Runtime",
    "mil fp16_storage": "mvd, rounding what is stored",
    "mil widened": "mvd, in float32",
    "onnxruntime disabled": "ONNX Runtime as written",
    "onnxruntime all": "ONNX Runtime, optimised",
}


def parity_text(parity: ParityReport, precision: Precision) -> Text:
    """Returns in a sentence whether a file computes what PyTorch computes, and how far it is from it at most."""
    if parity.status == "failed":
        return Text(f"does NOT compute what PyTorch computes: {parity.reason}", style="red")
    if parity.status == "not_measured":
        return Text(f"parity not measured: {parity.reason}", style="yellow")
    own = [leg for leg in parity.legs if leg.subject == ARTIFACT]
    largest = parity.largest_difference
    found = Text("computes what PyTorch computes", style="green")
    lacking = _uncompared(own)
    whole = bool(lacking) and len(lacking) == len({item.name for item in _compared(own)})
    if lacking:
        found = Text("each operation computes what PyTorch computes" if whole else found.plain, style="green").append(
            f"; nothing of {', '.join(lacking)} could be compared, for rounding alone turns all of it", style="yellow"
        )
    if whole:
        return found
    same = min((item.agreement for leg in own for item in leg.decisions if item.name not in lacking), default=1.0)
    if largest is None:
        return found.append(f": {same:.0%} of its decisions are the same", style="default")
    if any(leg.allowance == "detections" for leg in own):
        return found.append(
            f": {same:.0%} of the detections that an app takes of its boxes are the same", style="default"
        )
    what = "logit" if {output.name for leg in own for output in leg.outputs} == {"logits"} else "output"
    text = f": largest difference {share(largest)} of the largest {what}"
    if precision != "fp32":
        # What is not there before the precision is lowered is the precision's own.
        before = [leg for leg in parity.legs if leg.precision == "fp32" and leg.reference == PYTORCH]
        exact = max((output.max_rel for leg in before for output in leg.outputs), default=0.0)
        text += f", {precision_name(precision)}'s share of it {share(max(largest - exact, 0.0))}"
    return found.append(text, style="default")


def _compared(own: Sequence[Leg]) -> list[OutputDifference | Agreement]:
    outputs = [item for leg in own for item in leg.outputs]
    return [*outputs, *(item for leg in own for item in leg.decisions)]


def _uncompared(own: Sequence[Leg]) -> list[str]:
    """Returns the outputs of which rounding alone turns every place, so that no leg compared anything."""
    least: dict[str, float] = {}
    for item in _compared(own):
        least[item.name] = min(item.unsure, least.get(item.name, 1.0))
    return [name for name, unsure in least.items() if unsure >= 1.0]


def legs_table(parity: ParityReport, title: str) -> RenderableType:
    """Returns every leg with its worst figures and what was allowed; and in one line each, what was not run."""
    numbers = ("difference", "at most", "SNR dB", "at least", "same")
    several = len({leg.size for leg in parity.legs}) > 1
    columns = ["compared", *["size"][: int(several)], "run by", *numbers, ""]
    table = ResultTable(*columns, numbers=numbers, of={"artifact": title})
    for leg in parity.legs:
        outputs = leg.outputs
        agreements = [item.top1_agreement for item in outputs if item.top1_agreement is not None]
        agreements += [item.agreement for item in leg.decisions]
        table.add_row(
            _subject(leg),
            *[f"{leg.size[0]}x{leg.size[1]}"][: int(several)],
            _runner(leg),
            share(max(item.max_rel for item in outputs)) if outputs else "",
            share(leg.tolerance.max_rel) if outputs else "",
            f"{min(item.snr_db for item in outputs):.0f}" if outputs else "",
            f"{leg.tolerance.snr_db:.0f}" if outputs else "",
            f"{min(agreements):.0%}" if agreements else "",
            _verdict(leg),
        )
    lines = [Text(line) for line in explanations(parity)]
    if not parity.legs:
        return Group(*lines)
    # An int8 file's own legs are on other images, and say so.
    samples = next((leg.samples for leg in parity.legs if not leg.reference.startswith("PyTorch,")), 0)
    title = f"{title}, on {samples} structured images against PyTorch" if samples else f"{title}, against PyTorch"
    return Group(Text(title, style="bold"), table, *lines)


def _subject(leg: Leg) -> str:
    """Returns what was compared, and with what where that is not PyTorch on the structured images."""
    name, by_operation = leg.subject.removesuffix(BY_OPERATION), leg.subject.endswith(BY_OPERATION)
    beside = leg.reference.removeprefix(PYTORCH) if leg.reference.startswith(PYTORCH) else ""
    return f"{LEGS.get(name, name)}{BY_OPERATION if by_operation else ''}{beside}"


def _runner(leg: Leg) -> str:
    name = " ".join([leg.runner, *(value for key, value in leg.settings.items() if key != "function")])
    return RUNNERS.get(name, name)


def explanations(parity: ParityReport) -> list[str]:
    """Returns what is to be said beside the figures: what was not run, and what rounding costs."""
    reasons: dict[str, list[str]] = {}
    for missing in parity.not_run:
        name = " ".join([missing.runner or missing.subject, *missing.settings.values()])
        reasons.setdefault(missing.reason, []).append(name)
    lines = [f"not run: {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items()]
    return [*lines, *_explanations(parity)] if parity.legs else lines


def _verdict(leg: Leg) -> Text:
    if not leg.passed:
        return Text("FAILED", style="red")
    if leg.allowance:
        return Text(f"passed: {leg.allowance}", style="yellow")
    return Text("passed", style="green")


def _explanations(parity: ParityReport) -> list[str]:
    """Returns what is to be said of rounding: where digits are lost, what half precision costs, what was left out."""
    lines = []
    if place := parity.ill_conditioned:
        where = f" ({place.line})" if place.line else ""
        lines.append(
            f"ill-conditioned: PyTorch's own float32 loses more than the tolerance, most of it in "
            f"{', '.join(filter(None, [place.module or 'the model itself', place.op]))}{where}: "
            f"{place.snr_before_db:.0f} dB before it, "
            f"{place.snr_after_db:.0f} dB behind it"
        )
    if loss := parity.precision_loss:
        cost = f"an SNR of {loss.snr_db:.0f} dB is left" if loss.snr_db is not None else "decisions turn"
        own = "" if loss.own_snr_db is None else f"; PyTorch, rounded likewise, keeps {loss.own_snr_db:.0f} dB"
        why = f"; accepted for {loss.accepted}" if loss.accepted else ""
        what = precision_name(loss.precision)
        lines.append(f"conversion exact; {what} costs more than the tolerance: {cost}{own}{why}")
    legs = [leg for leg in parity.legs if leg.subject == "artifact"]
    decided = dict.fromkeys(item.name for leg in legs for item in leg.decisions if item.name not in parity.fixed)
    lines += [_agreement(name, legs) for name in decided]
    if parity.fixed:
        lines.append(
            f"the same for every image: {', '.join(parity.fixed)}; that they agree proves little of what is computed "
            "in front. Weights of zero in the last layer are often why"
        )
    unsure = [output.unsure for leg in parity.legs for output in leg.outputs]
    if max(unsure, default=0.0) > 0:
        lines.append(
            f"left out: up to {max(unsure):.2%} of an output's places, where rounding alone turns what PyTorch decides"
        )
    return lines


def _agreement(name: str, legs: Sequence[Leg]) -> str:
    """Returns how often an output of whole numbers is the same, of the artifact, and of how many of its places."""
    found = [item for leg in legs for item in leg.decisions if item.name == name]
    same, unsure = min(item.agreement for item in found), max(item.unsure for item in found)
    return f"decisions of {name}: {same:.2%} the same, where PyTorch is sure; rounding alone turns {unsure:.2%} of them"
