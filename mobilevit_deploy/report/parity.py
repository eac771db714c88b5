"""Parity, as a table and lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from mobilevit_deploy.report.table import make_table, precision_name

if TYPE_CHECKING:
    from mobilevit_deploy.verification.leg import Leg
    from mobilevit_deploy.verification.parity import ParityReport


def legs_table(parity: ParityReport, title: str) -> RenderableType:
    """Returns every leg with its worst figures and what was allowed; and in one line each, what was not run."""
    numbers = ("max rel", "(allowed)", "SNR", "(allowed) ", "same")
    several = len({leg.size for leg in parity.legs}) > 1
    table = make_table("leg", *["size"][: int(several)], "run by", *numbers, "", numbers=numbers)
    for leg in parity.legs:
        outputs = leg.outputs
        agreements = [item.top1_agreement for item in outputs if item.top1_agreement is not None]
        agreements += [item.agreement for item in leg.decisions]
        table.add_row(
            leg.subject + (leg.reference.removeprefix("PyTorch") if leg.reference.startswith("PyTorch") else ""),
            *[f"{leg.size[0]}x{leg.size[1]}"][: int(several)],
            " ".join([leg.runner, *(value for key, value in leg.settings.items() if key != "function")]),
            f"{max(item.max_rel for item in outputs):.0e}" if outputs else "",
            f"({leg.tolerance.max_rel:.0e})" if outputs else "",
            f"{min(item.snr_db for item in outputs):.0f}" if outputs else "",
            f"({leg.tolerance.snr_db:.0f} dB)" if outputs else "",
            f"{min(agreements):.0%}" if agreements else "",
            _verdict(leg),
        )
    reasons: dict[str, list[str]] = {}
    for missing in parity.not_run:
        reasons.setdefault(missing.reason, []).append(
            " ".join([missing.runner or missing.subject, *missing.settings.values()])
        )
    lines = [
        Text(f"not run: {', '.join(dict.fromkeys(names))}: {reason}", style="yellow")
        for reason, names in reasons.items()
    ]
    if not parity.legs:
        return Group(*lines)
    lines += [Text(line) for line in _explanations(parity)]
    # An int8 file's own legs are on other images, and say so.
    samples = next((leg.samples for leg in parity.legs if not leg.reference.startswith("PyTorch,")), 0)
    title = f"{title}, on {samples} structured images against PyTorch" if samples else f"{title}, against PyTorch"
    return Group(Text(title, style="bold"), table, *lines)


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
            f"{place.module or 'the model itself'}, {place.op}{where}: {place.snr_before_db:.0f} dB before it, "
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
